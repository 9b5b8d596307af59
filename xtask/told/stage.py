"""What the scripts share: where everything listens, how the gateway is called, and patience.

The file STAGE is JSON: the ports, the folder of this run, the repository's root and the secrets.
"""

import http.client
import json
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

OPERATOR = "operator@example.com"
MODEL = "claude-3-5-sonnet-20241022"
OUTPUT = 500
PATIENCE, PAUSE = 45, 0.05


class Stage:
    def __init__(self, file):
        told = json.loads(pathlib.Path(file).read_text())
        self.folder = pathlib.Path(told["folder"])
        self.deploy = pathlib.Path(told["deploy"])
        self.ports, self.secrets = told["ports"], told["secrets"]
        self.clock = self.folder / "clock"

    def ask(self, port, path, body=None, method=None, token=None):
        head = {"Content-Type": "application/json"}
        if token:
            head["Authorization"] = f"Bearer {token}"
        url = f"http://127.0.0.1:{self.ports[port]}{path}"
        data = body if body is None else body.encode()
        request = urllib.request.Request(url, data, head, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            sys.exit(f"{path} answers {error.code}: {error.read().decode()}")

    def bursar(self, path, body=None):
        return self.ask("bursar", path, body, token=self.secrets["admin"])

    def metric(self, name, **labels):
        """Of all series with these labels the sum."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        total = 0.0
        for line in self.bursar("/metrics").splitlines():
            is_it = line.startswith((name + "{", name + " ")) and all(word in line for word in wanted)
            total += float(line.rsplit(" ", 1)[1]) if is_it else 0.0
        return total

    def arrived(self, kind, is_wanted=lambda one: True):
        told = json.loads(self.ask("sinks", "/log"))
        return [one for one in told if one["kind"] == kind and is_wanted(one)]

    def mood(self, **moods):
        """How the sinks are from now on."""
        self.ask("sinks", "/mood", json.dumps(moods), "PUT")

    def firing(self):
        """What fires in Prometheus, as name and tenant."""
        told = json.loads(self.ask("prometheus", "/api/v1/alerts"))["data"]["alerts"]
        firing = [one["labels"] for one in told if one["state"] == "firing"]
        return {(one["alertname"], one.get("tenant_id", "")) for one in firing}

    def has_alertmanager(self):
        return json.loads(self.ask("prometheus", "/api/v1/alertmanagers"))["data"]["activeAlertmanagers"]

    def muted(self):
        """What Alertmanager does not tell, as something worse of the same is told."""
        told = json.loads(self.ask("alertmanager", "/api/v2/alerts"))
        muted = [one["labels"] for one in told if one["status"]["inhibitedBy"]]
        return {(one["alertname"], one.get("tenant_id", "")) for one in muted}

    def offset(self):
        return int(self.clock.read_text())

    def turn(self, offset):
        """Puts Bursar's clock elsewhere; the file changes in one step."""
        beside = self.clock.with_suffix(".new")
        beside.write_text(f"{int(offset):+}\n")
        beside.rename(self.clock)


class Gateway:
    """Calls of the gateway on one connection. Each uses as much as is held for it."""

    def __init__(self, stage):
        self.line = http.client.HTTPConnection("127.0.0.1", stage.ports["bursar"], timeout=30)

    def call(self, tenant, used, output=OUTPUT, stream=False):
        """The answer's status and headers, lower case."""
        messages = [{"role": "user", "content": "How are the costs?"}]
        body = {"model": MODEL, "max_tokens": OUTPUT, "messages": messages, "stream": stream}
        head = {"Content-Type": "application/json", "anthropic-version": "2023-06-01", "x-tenant-id": tenant}
        head |= {"x-script-input": str(used), "x-script-output": str(output)}
        self.line.request("POST", "/v1/messages", json.dumps(body), head)
        answer = self.line.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    def calls(self, tenant, used, count):
        """Calls that have to be let through; when the last one was answered, and its headers."""
        for _ in range(count):
            status, head = self.call(tenant, used)
            if status != 200:
                sys.exit(f"the gateway answers {status} to {tenant} below its limit: {head}")
        return time.time(), head


def until(what, look, patience=PATIENCE):
    """Waits for what has to happen, and tells what it is if it does not."""
    end = time.monotonic() + patience
    while not (found := look()):
        if time.monotonic() > end:
            sys.exit(f"in {patience} s there was not: {what}")
        time.sleep(PAUSE)
    return found


def check(is_so, what):
    if not is_so:
        sys.exit(what)

"""Where notices and alerts arrive: a mail server with STARTTLS and a login, and a web server.

usage: sinks.py STAGE

Whatever arrives is kept, and told at /log. PUT /mood says how it is received: mail is `up`, `down` or, under another
certificate, `untrusted`; the webhook `up`, `500` or `hang`. /metrics is an exporter that knows, once `idle` is `shown`,
a load balancer which nobody uses.
"""

import email
import email.policy
import hashlib
import hmac
import http.server
import json
import ssl
import sys
import threading
import time

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from stage import Stage

METRICS = """\
# TYPE aws_networkelb_processed_bytes_sum gauge
aws_networkelb_processed_bytes_sum{load_balancer="idle"} 0
"""


class Sinks:
    def __init__(self, stage):
        self.stage = stage
        self.lock, self.turned = threading.Lock(), threading.Condition()
        self.log, self.taken = [], set()
        self.hook, self.metrics = "up", ""
        trusted = trustme.CA()
        trusted.cert_pem.write_to_path(str(stage.folder / "authority.pem"))
        self.tls = {"up": certified(trusted), "untrusted": certified(trustme.CA())}
        self.mail = self.listen("up")

    def listen(self, mood):
        mail = Controller(
            Mailbox(self),
            "127.0.0.1",
            self.stage.ports["mail"],
            tls_context=self.tls[mood],
            require_starttls=True,
            auth_required=True,
            # Alertmanager would take it first, and knows other prompts of it than aiosmtpd.
            auth_exclude_mechanism=["LOGIN"],
            authenticator=self.login,
        )
        mail.start()
        return mail

    def login(self, server, session, envelope, mechanism, told):
        user = told.login.decode()
        session.user = user
        known = self.stage.secrets["mail"].get(user)
        is_right = known is not None and known.encode() == told.password
        # A refusal is aiosmtpd's to say.
        return AuthResult(success=is_right, handled=is_right, auth_data=told)

    def keep(self, kind, **told):
        with self.lock:
            self.log.append({"kind": kind, "at": time.time()} | told)

    def change(self, moods):
        with self.turned:
            self.hook = moods.get("hook", self.hook)
            self.turned.notify_all()
        if "idle" in moods:
            self.metrics = METRICS
        if "mail" not in moods:
            return
        if self.mail:
            self.mail.stop()
        self.mail = None if moods["mail"] == "down" else self.listen(moods["mail"])

    def receive(self, headers, body):
        """A notice from Bursar; its status, or none where nothing is ever answered."""
        key, mood = headers["idempotency-key"], self.hook
        is_signed = signed(self.stage, headers, body)
        status = {"up": 204, "500": 500, "hang": None}[mood] if is_signed else 403
        is_new = status == 204 and key not in self.taken
        if is_new:
            self.taken.add(key)
        told = {"key": key, "status": status, "is_signed": is_signed, "is_new": is_new}
        self.keep("hook", **told, text=body.decode(), body=json.loads(body))
        if status is None:
            with self.turned:
                self.turned.wait_for(lambda: self.hook != "hang")
        return status


def certified(authority):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    return tls


def signed(stage, headers, body):
    """What docs/guide/notifications.md asks of whoever believes a notice."""
    timestamp = headers["bursar-timestamp"]
    if abs(time.time() + stage.offset() - int(timestamp)) > 300:
        return False
    secret = stage.secrets["hook"].encode()
    expected = "v1=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(expected, one.strip()) for one in headers["bursar-signature"].split(","))


class Mailbox:
    def __init__(self, sinks):
        self.sinks = sinks

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.sinks.keep(
            "mail",
            to=sorted(envelope.rcpt_tos),
            key=mail["Message-ID"],
            subject=mail["Subject"],
            text=mail.get_body(("plain",)).get_content(),
            is_encrypted=session.ssl is not None,
            user=session.user,
        )
        return "250 taken"


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sinks = None

    def do_GET(self):
        if self.path == "/metrics":
            return self.answer(200, self.sinks.metrics, "text/plain; version=0.0.4")
        with self.sinks.lock:
            return self.answer(200, json.dumps(self.sinks.log))

    def do_PUT(self):
        self.sinks.change(json.loads(self.body()))
        self.answer(204)

    def do_POST(self):
        body = self.body()
        if self.path == "/v2/enqueue":
            told = json.loads(body)
            self.sinks.keep("page", action=told["event_action"], key=told["dedup_key"], body=told)
            return self.answer(202, json.dumps({"status": "success", "dedup_key": told["dedup_key"]}))
        status = self.sinks.receive(self.headers, body)
        if status is None:
            self.close_connection = True
            return None
        return self.answer(status)

    def body(self):
        return self.rfile.read(int(self.headers["content-length"]))

    def answer(self, status, text="", kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *words):
        """Nobody reads it."""


def main():
    stage = Stage(sys.argv[1])
    Web.sinks = Sinks(stage)
    http.server.ThreadingHTTPServer(("127.0.0.1", stage.ports["sinks"]), Web).serve_forever()


if __name__ == "__main__":
    main()

"""The shipped rules and routes as this run loads them, and the settings of everything.

usage: deployed.py STAGE

What is changed is changed by pattern, and each pattern has to be found. Of the rules: how long each has to hold
(`for`) and how often a group is looked at (`interval`). Of the routes: the pauses before messages (`group_wait`,
`group_interval`), addresses and ports, and the folder of the secrets.
"""

import re
import shutil
import sys

from stage import OPERATOR, Stage

RULES = [(r"(?m)^( +(?:keep_firing_for|for|interval):) \w+$", r"\1 1s")]


def main():
    stage = Stage(sys.argv[1])
    folder, ports, secrets = stage.folder, stage.ports, stage.secrets
    rules = (stage.deploy / "prometheus/finops-alerts.yaml").read_text()
    (folder / "rules.yml").write_text(changed(rules, RULES))
    (folder / "prometheus.yml").write_text(prometheus(ports, secrets))

    here = folder / "secrets"
    here.mkdir()
    routes = (stage.deploy / "alertmanager/alertmanager.yaml").read_text()
    (folder / "alertmanager.yaml").write_text(changed(routes, replaced(ports, here)))
    shutil.copy(stage.deploy / "alertmanager/bursar.tmpl", folder)
    told = {
        "smtp-password": secrets["mail"]["bursar@example.com"],
        "pagerduty-routing-key": "0123456789abcdef0123456789abcdef",
        "oncall-token": "on-call-test-token",
        "bursar-token": secrets["alertmanager"],
        "bursar-smtp-password": secrets["mail"]["bursar"],
        "hook-secret": secrets["hook"],
    }
    for name, secret in told.items():
        # No line end: Alertmanager 0.25 takes it for a part of the mail server's password.
        (here / name).write_text(secret)
    (folder / "bursar.toml").write_text(bursar(ports, secrets, folder))


def changed(text, patterns):
    for pattern, replacement in patterns:
        text, count = re.subn(pattern, replacement, text)
        if not count:
            sys.exit(f"{pattern} is nowhere in a shipped file: put xtask/told/deployed.py right")
    return text


def replaced(ports, secrets):
    return [
        (r"(?m)^global:$", rf"global:\n  pagerduty_url: http://127.0.0.1:{ports['sinks']}/v2/enqueue"),
        (r"smtp\.example\.com:587", f"localhost:{ports['mail']}"),
        (r"http://bursar:3010", f"http://127.0.0.1:{ports['bursar']}"),
        (r"/etc/alertmanager/secrets", str(secrets)),
        (r"(?m)^( +group_wait:) \w+$", r"\1 1s"),
        (r"(?m)^( +group_interval:) \w+$", r"\1 2s"),
    ]


def prometheus(ports, secrets):
    return f"""\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting:
  alertmanagers:
  - static_configs: [{{targets: ['127.0.0.1:{ports["alertmanager"]}']}}]
scrape_configs:
- job_name: bursar
  authorization: {{credentials: {secrets["admin"]}}}
  static_configs: [{{targets: ['127.0.0.1:{ports["bursar"]}']}}]
- job_name: load-balancers
  static_configs: [{{targets: ['127.0.0.1:{ports["sinks"]}']}}]
"""


def bursar(ports, secrets, folder):
    """More messages a minute than one has by default: this run has a month of them in a minute."""
    return f"""\
listen = "127.0.0.1:{ports["bursar"]}"
data_dir = "{folder}/data"
admin_token = "{secrets["admin"]}"

[gateway]
trusted_networks = "127.0.0.0/8"

[upstream.anthropic]
api = "anthropic"
url = "http://127.0.0.1:{ports["vendor"]}"
key = "{secrets["vendor"]}"
models = "claude-*"

[notify]
alertmanager_token_file = "{folder}/secrets/bursar-token"

[notify.channel.mail]
type = "email"
host = "localhost"
port = {ports["mail"]}
ca_file = "{folder}/authority.pem"
user = "bursar"
password_file = "{folder}/secrets/bursar-smtp-password"
from = "Bursar <bursar@example.com>"
to = ["{OPERATOR}"]
per_minute = 600

[notify.channel.hook]
type = "webhook"
url = "http://127.0.0.1:{ports["sinks"]}/hook"
secret_file = "{folder}/secrets/hook-secret"
per_minute = 600
"""


if __name__ == "__main__":
    main()

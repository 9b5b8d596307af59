"""A month of three tenants, from calls to mails and pages, in the steps between which Bursar is killed.

usage: flow.py STAGE crossed|outage|pending|survived|digest|turned

Every call costs exactly what is held for it where money is tight, and a limit is twenty of them: the 16th is 80 %, the
20th is 100 %, and the 21st is refused.
"""

import datetime
import json
import sys
import time
from decimal import Decimal

from stage import MODEL, OPERATOR, OUTPUT, Gateway, Stage, check, until

LIMIT, SOFT = 20, 16
TENANTS = {"acme": "Acme", "borealis": "Borealis", "cedar": "Cedar"}
PROMPT, COMPLETION = Decimal("0.000003"), Decimal("0.000015")
LEASE, MINUTE = 120, 60
TIMED = 400
INFO = "IdleLoadBalancer"
NOTED = "/api/v1/notify/alertmanager"


class Flow:
    def __init__(self, stage):
        self.stage = stage
        self.gateway = Gateway(stage)
        self.known = stage.folder / "call.json"

    # What is asked of the gateway.

    def used(self):
        """Input tokens with which a call uses all that is held for it where money is tight, and what it costs then."""
        if self.known.exists():
            used, cost = json.loads(self.known.read_text())
            return used, Decimal(cost)
        loose = self.held("calm")
        # What a call costs most by its bytes does not fit, and its tokens are counted.
        self.limit("tight", loose - PROMPT)
        hold = self.held("tight")
        used = (hold - OUTPUT * COMPLETION) / PROMPT
        check(used == int(used) > 0, f"{hold} USD are held for a call: {MODEL} has another price")
        self.known.write_text(json.dumps((int(used), str(hold))))
        return int(used), hold

    def held(self, tenant):
        status, head = self.gateway.call(tenant, used=1, output=1, stream=True)
        check(status == 200, f"the gateway answers {status} to {tenant}: {head}")
        return Decimal(head["x-bursar-hold-usd"])

    def tenant(self, tenant, cost):
        told = {"tenant_id": tenant, "name": TENANTS[tenant], "admin_email": admin(tenant)}
        self.stage.bursar("/api/v1/tenants", json.dumps(told))
        self.limit(tenant, LIMIT * cost)

    def limit(self, tenant, dollars):
        # Exact, as the digits stand there.
        told = f'{{"tenant_id": "{tenant}", "model": "*", "monthly_limit_usd": {dollars}}}'
        self.stage.bursar("/api/ai-budget/set", told)

    def times(self, used):
        """Milliseconds of calls that come one after the other: the median, and the worst of a hundred."""
        taken = []
        for _ in range(TIMED):
            begun = time.perf_counter()
            self.gateway.calls("calm", used, 1)
            taken.append(1000 * (time.perf_counter() - begun))
        taken.sort()
        return taken[TIMED // 2], taken[TIMED * 99 // 100]

    # What has to arrive.

    def mail(self, to, subject, since=0):
        """The first of all, or since a moment."""

        def is_it(one):
            return to in one["to"] and subject in one["subject"] and one["at"] > since

        return next(iter(self.stage.arrived("mail", is_it)), None)

    def both(self, tenant, subject, since=0):
        """The admin's mail and the operator's; how long they took."""
        readers = (admin(tenant), OPERATOR)
        mails = [until(f"a mail to {to}: {subject}", lambda to=to: self.mail(to, subject)) for to in readers]
        return max(mail["at"] for mail in mails) - since

    def hooks(self, tenant, percent, is_taken=True):
        """Attempts to tell the webhook of a threshold."""

        def is_it(one):
            facts = [item["facts"] for item in one["body"]["items"]]
            is_of = any(fact.get("tenant_id") == tenant and fact.get("percent") == percent for fact in facts)
            return is_of and (one["is_new"] or not is_taken)

        return self.stage.arrived("hook", is_it)

    def pages(self, tenant, action):
        def is_it(one):
            summary = one["body"].get("payload", {}).get("summary", "")
            return one["action"] == action and f"Tenant {tenant} " in summary

        return self.stage.arrived("page", is_it)

    def failed(self, channel):
        return self.stage.metric("bursar_notify_deliveries_total", channel=channel, result="failed")


def admin(tenant):
    return f"admin@{tenant}.example"


def subject(tenant, percent):
    return f"{TENANTS[tenant]} has used {percent} % of its AI budget"


def within(what, seconds):
    print(f"told: {what} after {seconds:.1f} s", flush=True)
    check(0 <= seconds < MINUTE, f"{what} took {seconds:.1f} s, and not less than {MINUTE}")


def crossed(flow):
    """80 % and 100 % by calls, to everybody who is told of them by Bursar and by Alertmanager."""
    stage = flow.stage
    used, cost = flow.used()
    flow.tenant("acme", cost)
    flow.gateway.calls("acme", used, SOFT - 1)
    check(not flow.mail(admin("acme"), ""), "the admin was told below 80 %")
    # What fires before Prometheus knows of Alertmanager is told a minute later.
    until("Alertmanager known to Prometheus", stage.has_alertmanager)
    check(("AIBudgetWarning", "acme") not in stage.firing(), "AIBudgetWarning fires below 80 %")
    soft, head = flow.gateway.calls("acme", used, 1)
    check(head.get("x-ai-budget-warning") == "true", f"the call that reaches 80 % says nothing of it: {head}")
    within("Bursar's mails of 80 %", flow.both("acme", subject("acme", 80), soft))
    hook = until("a request to the webhook", lambda: flow.hooks("acme", 80))[0]
    within("Bursar's request of 80 %", hook["at"] - soft)
    stage.mood(idle="shown")
    until("AIBudgetWarning", lambda: ("AIBudgetWarning", "acme") in stage.firing())
    check(("AIBudgetExceeded", "acme") not in stage.firing(), "AIBudgetExceeded fires at 80 %")
    words = "Warning: Tenant acme has used 80% of its AI budget"
    warned = until("Alertmanager's mail to engineering", lambda: flow.mail("engineering@example.com", words))
    within("Alertmanager's mail of 80 %", warned["at"] - soft)
    check(not stage.arrived("page"), "somebody was paged at 80 %")

    hard, _ = flow.gateway.calls("acme", used, LIMIT - SOFT)
    within("Bursar's mails of 100 %", flow.both("acme", subject("acme", 100), hard))
    status, head = flow.gateway.call("acme", used)
    check(status == 429 and "retry-after" in head, f"the gateway answers {status} beyond the limit: {head}")
    flow.both("acme", "Acme has used up its AI budget")
    until("AIBudgetExceeded", lambda: ("AIBudgetExceeded", "acme") in stage.firing())
    page = until("a page", lambda: flow.pages("acme", "trigger"))[0]
    within("Alertmanager's page of 100 %", page["at"] - hard)
    leaders = until("a mail to the CFO", lambda: flow.mail("cfo@example.com", "CRITICAL: Tenant acme is refused"))
    within("Alertmanager's mail to CFO and CTO", leaders["at"] - hard)
    check(leaders["to"] == ["cfo@example.com", "cto@example.com"], f"it went to {leaders['to']}")
    until("AIBudgetWarning muted by AIBudgetExceeded", lambda: ("AIBudgetWarning", "acme") in stage.muted())
    told = "bursar_http_requests_total"
    until(f"{INFO} told to Bursar", lambda: stage.metric(told, route=NOTED, status="2xx") > 0)
    check(not flow.mail("engineering@example.com", INFO), f"{INFO} is of severity info, and was mailed")


def outage(flow):
    """Nobody takes notices while calls go on; then everybody does."""
    stage = flow.stage
    used, cost = flow.used()
    flow.tenant("borealis", cost)
    before = flow.times(used)
    stage.mood(mail="down", hook="500")
    failed = {channel: flow.failed(channel) for channel in ("mail", "hook")}
    flow.gateway.calls("borealis", used, SOFT)
    for channel, count in failed.items():
        until(f"an attempt by {channel} that fails", lambda: flow.failed(channel) > count)
    during = flow.times(used)
    print(
        f"told: a call takes {before[0]:.1f} ms (p99 {before[1]:.1f}), and while no channel answers {during[0]:.1f}"
        f" ({during[1]:.1f})",
        flush=True,
    )
    check(during[0] < 2 * before[0] + 10 and during[1] < 3 * before[1] + 100, "calls feel channels that are down")
    flow.gateway.calls("borealis", used, LIMIT - SOFT)
    until("an attempt to tell of 100 %", lambda: flow.hooks("borealis", 100, is_taken=False))
    check(not flow.mail(admin("borealis"), ""), "a mail server that is down has taken a mail")
    stage.mood(mail="up", hook="up")
    for percent in (80, 100):
        flow.both("borealis", subject("borealis", percent))
        until("the webhook's own", lambda: flow.hooks("borealis", percent))
        same(flow.hooks("borealis", percent, is_taken=False), least=2)


def same(attempts, least):
    """Every attempt says the same under the same key, and was taken once."""
    said = {(one["key"], one["text"]) for one in attempts}
    check(len(said) == 1 and len(attempts) >= least, f"{len(attempts)} attempts say {len(said)} things")
    check(sum(one["is_new"] for one in attempts) == 1, "a notice was taken twice")


def pending(flow):
    """One notice waits to be tried again, and one is on its way, when Bursar is killed."""
    used, cost = flow.used()
    flow.tenant("cedar", cost)
    flow.stage.mood(mail="untrusted", hook="hang")
    count = flow.failed("mail")
    flow.gateway.calls("cedar", used, SOFT)
    until("an attempt that hangs", lambda: flow.hooks("cedar", 80, is_taken=False))
    until("a mail that waits", lambda: flow.failed("mail") > count)
    check(not flow.mail(admin("cedar"), ""), "a mail went to a server that nobody vouches for")


def survived(flow):
    """What waited comes by itself; what was on its way when its lease, which the clock is moved past, has ended."""
    stage, back = flow.stage, time.time()
    stage.mood(mail="up", hook="up")
    print(f"told: mails come {flow.both('cedar', subject('cedar', 80), back):.1f} s after a kill", flush=True)
    check(not flow.hooks("cedar", 80), "a notice was sent again before its lease had ended")
    stage.turn(LEASE + 5)
    until("the notice that was on its way", lambda: flow.hooks("cedar", 80))
    same(flow.hooks("cedar", 80, is_taken=False), least=2)


def digest(flow):
    """Bursar was started on Monday: what Alertmanager has told it stands in the digest."""
    week = until("the digest", lambda: flow.mail(OPERATOR, "The week in costs"))
    for words in (INFO, "acme: $", "budget threshold"):
        check(words in week["text"], f"the digest says nothing of {words}:\n{week['text']}")
    check(OPERATOR in week["to"], f"the digest went to {week['to']}")


def turned(flow):
    """The period turns: everything is good again, and nothing was told twice."""
    stage = flow.stage
    check({("AIBudgetExceeded", "acme"), ("AIBudgetExceeded", "borealis")} <= stage.firing(), "alerts have ended early")
    stage.turn(max(month_end() + 60 - time.time(), stage.offset()))
    begun = time.time()
    words = "Resolved: Tenant acme is refused"
    until("the alerts' end", lambda: not any(name.startswith("AIBudget") for name, _ in stage.firing()))
    leaders = until("a mail that it is over", lambda: flow.mail("cfo@example.com", words, since=begun))
    within("Alertmanager's mail that it is over", leaders["at"] - begun)
    incident = flow.pages("acme", "trigger")[0]["key"]

    def is_end(one):
        return one["action"] == "resolve" and one["key"] == incident and one["at"] > begun

    until("the incident's end", lambda: stage.arrived("page", is_end))
    for tenant in TENANTS:
        until(f"a mail that {tenant} begins anew", lambda: begins(flow, tenant))
    status, _ = flow.gateway.call("acme", 1)
    check(status == 200, f"the gateway answers {status} in a new month")
    once(stage)


def begins(flow, tenant):
    def is_it(one):
        return admin(tenant) in one["to"] and TENANTS[tenant] in one["subject"] and "%" not in one["subject"]

    return [one for one in flow.stage.arrived("mail", is_it) if "used up" not in one["subject"]]


def once(stage):
    """Nothing has come twice, and everything in the way that was agreed."""
    mails = stage.arrived("mail")
    check(all(one["is_encrypted"] for one in mails), "a mail came in the clear")
    ours = [one for one in mails if one["user"] == "bursar"]
    for name, values in (
        ("name", [one["key"] for one in ours]),
        ("recipient and subject", [(*one["to"], one["subject"]) for one in ours]),
    ):
        twice = {value for value in values if values.count(value) > 1}
        check(not twice, f"mails with the same {name} have come: {twice}")
    hooks = stage.arrived("hook")
    check(all(one["is_signed"] for one in hooks), "a request's signature or time is wrong")
    for key in {one["key"] for one in hooks}:
        attempts = [one for one in hooks if one["key"] == key]
        same(attempts, least=1)
    pages = stage.arrived("page")
    incidents = {one["key"] for one in pages}
    for incident in incidents:
        # Where a scrape was missed while Bursar was away, an alert has ended and begun anew.
        actions = [one["action"] for one in pages if one["key"] == incident]
        is_told_once = actions[0] == "trigger" and all(a != b for a, b in zip(actions, actions[1:]))
        check(is_told_once, f"a pager hears {actions}")
    dead = stage.metric("bursar_notify_dead")
    check(dead == 0, f"{dead} notices were given up")
    counts = f"{len(ours)} mails, {len(hooks)} requests and {len(incidents)} incidents"
    print(f"told: {counts}, none of them twice", flush=True)


def month_end():
    now = datetime.datetime.now(datetime.timezone.utc)
    following = datetime.datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=datetime.timezone.utc)
    return following.timestamp()


def monday(stage):
    """Moves the clock to the next Monday at 09:01, when the digest is due."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=stage.offset())
    at = now.replace(hour=9, minute=1, second=0) + datetime.timedelta(days=-now.weekday() % 7)
    at += datetime.timedelta(days=7 if at <= now else 0)
    stage.turn(at.timestamp() - time.time())


STEPS = {step.__name__: step for step in (crossed, outage, pending, survived, digest, turned)}


def main():
    file, step = sys.argv[1:]
    stage = Stage(file)
    if step == "monday":
        monday(stage)
    else:
        STEPS[step](Flow(stage))


if __name__ == "__main__":
    main()

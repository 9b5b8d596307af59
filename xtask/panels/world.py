"""What the dashboards are tried on, made by Bursar itself.

usage: world.py bills FOLDER
       world.py past PORT CLOCK
       world.py today PORT

`past` moves the clock of a service, whose offset from the real time it reads from the file CLOCK, through
three weeks; `today` are the calls of this day. Bills are FOCUS, of four providers.
"""

import csv
import datetime
import json
import pathlib
import sys

from api import Api

SONNET = "claude-3-5-sonnet-20241022"
OPUS = "claude-3-opus-20240229"
HAIKU = "claude-3-haiku-20240307"
# A name that is a trap for quoting, in SQL and in regular expressions.
QUOTED = "o'neil(uk)"
DAYS, SPIKE = 20, 2
MONTHS = 14


def main():
    what, *rest = sys.argv[1:]
    if what == "bills":
        bills(pathlib.Path(rest[0]))
    elif what == "past":
        past(Api(int(rest[0])), pathlib.Path(rest[1]))
    else:
        today(Api(int(rest[0])))


def past(api, clock):
    for ago in range(DAYS, 0, -1):
        turn(clock, -86400 * ago)
        api.call("acme", SONNET, 200_000, 60_000 + 1_000 * ago, "esg", "ada")
        api.call("acme", HAIKU, 100_001, 50_000)
        api.call(QUOTED, OPUS, 20_000, 5_000 + ago, "impact")
        if ago == SPIKE:
            api.call("acme", OPUS, 300_000, 80_000, "esg", "scheduler")
    turn(clock, 0)


def turn(clock, offset):
    """Puts the service's clock elsewhere; the file changes in one step."""
    beside = clock.with_suffix(".new")
    beside.write_text(f"{offset:+}\n")
    beside.rename(clock)


def today(api):
    api.limit("acme", "*", 2000)
    api.limit("borealis", "*", 5)
    api.limit("cedar", SONNET, 10)
    # A ban is nobody over budget.
    api.limit("dune", "*", 0)
    for number in range(4):
        api.call("borealis", SONNET, 200_000, 60_000 + number, "esg")
    api.call("cedar", SONNET, 500_000, 466_667, "impact", "eve")
    api.call("cedar", HAIKU, 1_000, 77)
    api.call(QUOTED, OPUS, 40_000, 9_999)
    calls(api)


def calls(api):
    """Through the gateway: one that its vendor answers, and one that no budget allows."""
    body = {"model": HAIKU, "max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]}
    for tenant, status in (("acme", 200), ("dune", 429)):
        head = {"x-tenant-id": tenant, "anthropic-version": "2023-06-01"}
        told = api.status("/v1/messages", body, head)
        if told != status:
            sys.exit(f"the gateway answers {told} to {tenant}, not {status}")


def month(back):
    """The first day of a month before this one."""
    now = datetime.datetime.now(datetime.timezone.utc).date()
    count = now.year * 12 + now.month - 1 - back
    return datetime.date(count // 12, count % 12 + 1, 1)


def bills(folder):
    now = datetime.datetime.now(datetime.timezone.utc).date()
    for provider in ("AWS", "Microsoft", "Google Cloud", "Hetzner"):
        place = folder / provider.split()[0].lower()
        place.mkdir(parents=True, exist_ok=True)
        rows = []
        for back in range(MONTHS if provider == "AWS" else 3):
            first, past_it = month(back), month(back - 1)
            # What is near is told day by day, for the forecast.
            days = (past_it - first).days if back < 3 else 1
            for day in (first + datetime.timedelta(days=n) for n in range(days)):
                if day <= now:
                    rows += charges(provider, first, past_it, day, back)
        with open(place / "bill.csv", "w", newline="") as file:
            written = csv.DictWriter(file, rows[0])
            written.writeheader()
            written.writerows(rows)


def charges(provider, first, past_it, day, back):
    for number, (service, region) in enumerate(places(provider)):
        cost = f"{3 + number % 7 + day.day % 3}.{number:03}{14 - back:02}{day.day:02}7"
        yield {
            "BilledCost": cost,
            "EffectiveCost": cost,
            "ListCost": cost,
            "ContractedCost": cost,
            "BillingAccountId": "100000000001",
            "BillingCurrency": "EUR" if provider == "Hetzner" else "USD",
            "BillingPeriodStart": f"{first}T00:00:00Z",
            "BillingPeriodEnd": f"{past_it}T00:00:00Z",
            "ChargeCategory": "Usage",
            "ChargePeriodStart": f"{day}T00:00:00Z",
            "ChargePeriodEnd": f"{day + datetime.timedelta(days=1)}T00:00:00Z",
            "ProviderName": provider,
            "ServiceName": service,
            "RegionId": region,
            # Some of it is nobody's, and some is somebody's whose name needs quoting.
            "Tags": ("", '{"tenant":"acme"}', json.dumps({"tenant": QUOTED}))[number % 3],
        }


def places(provider):
    if provider == "AWS":
        storage = ("Simple Storage Service", "Elastic Block Store", "Relational Database Service")
        services = [f"Amazon {name}" for name in ("Elastic Compute Cloud", *storage)]
        pairs = [(service, region) for service in services for region in ("us-east-1", "eu-central-1")]
        return [*pairs, ("AWS Support (Business)", "")]
    if provider == "Google Cloud":
        # More than are named apart.
        return [(f"Service {n}", f"europe-west{n % 4}") for n in range(110)]
    return [("Virtual Machines", "westeurope"), ("Storage", "westeurope")]


if __name__ == "__main__":
    main()

"""Every query of the cloud's and the service's dashboard, run on Prometheus, has data; the cloud's say what the API says.

usage: series.py PORT PROMETHEUS-PORT

Prometheus scrapes two replicas every second. Each query is asked for All, for one value and for several.
"""

import collections
import datetime
import json
import math
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from decimal import Decimal

import boards
from api import Api
from world import calls

PATIENCE, WINDOW, STEP = 60, "15s", 5
CLOUD, SERVICE = "finops-cloud-cost.json", "bursar-service.json"
OTHER = "(other)"
STORAGE = ("Simple Storage Service", "Elastic Block Store", "Relational Database Service")
CHOICES = [
    {},
    {"provider": ["AWS"], "region": ["us-east-1"]},
    {"provider": ["AWS", "Microsoft"], "service": ["AWS Support (Business)", "Amazon Elastic Block Store", "Storage"]},
    {"provider": ["Google Cloud"], "budget": ["aws"]},
    {"currency": "EUR"},
]


class Prometheus:
    def __init__(self, port):
        self.root = f"http://127.0.0.1:{port}/api/v1/"

    def ask(self, what, **query):
        body = urllib.parse.urlencode(query).encode()
        try:
            with urllib.request.urlopen(self.root + what, body, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            sys.exit(f"{what} {query}: {error.read().decode()}")

    def series(self, query, is_instant):
        """The last value of each series, by its labels."""
        now = time.time()
        if is_instant:
            found = self.ask("query", query=query, time=now)["result"]
            found = [(one["metric"], one["value"]) for one in found]
        else:
            span = {"start": now - 12 * STEP, "end": now, "step": STEP}
            found = self.ask("query_range", query=query, **span)["result"]
            # The newest that is a number: a quantile of nothing is none.
            found = [(one["metric"], newest(one["values"])) for one in found]
        return {tuple(sorted(labels.items())): float(value) for labels, (_, value) in found}

    def values(self, definition, values):
        """What Grafana offers for a variable."""
        inside = definition.removeprefix("label_values(").removesuffix(")")
        selector, label = inside.rsplit(", ", 1)
        query = boards.promql(selector, values, WINDOW)
        found = self.ask("query", query=f"count by ({label}) ({query})")["result"]
        return {one["metric"].get(label) for one in found}


def newest(samples):
    numbers = [sample for sample in samples if not math.isnan(float(sample[1]))]
    return (numbers or samples)[-1]


class Bills:
    """What the API says of the charges that are chosen, by month, provider, region and service."""

    def __init__(self, api, choice):
        self.api, self.choice = api, choice
        currency = choice.get("currency", "USD")
        now = datetime.datetime.now(datetime.timezone.utc)
        self.current = f"{now:%Y-%m}"
        self.previous = f"{now.replace(day=1) - datetime.timedelta(days=1):%Y-%m}"
        self.rows = []
        for row in api.table("/api/v1/cost/report", by="month,provider,region,service"):
            month, provider, region, service, *_ = row.values()
            cost = Decimal(row["BilledCost"])
            if row["BillingCurrency"] == currency:
                self.rows.append((month, provider, region or "none", service, cost))
        self.named = collections.defaultdict(set)
        for month, provider, region, service, _ in sorted(self.rows, key=lambda row: -row[4]):
            named = self.named[month, provider]
            if len(named) < 99:
                named.add((region, service))

    def lines(self, month, whole=False):
        """Costs as they have names: small ones are `(other)`."""
        found = collections.Counter()
        for at, provider, region, service, cost in self.rows:
            if at != month:
                continue
            if (region, service) not in self.named[month, provider]:
                region = service = OTHER
            if self.fits(provider=provider) and (whole or self.fits(region=region, service=service)):
                found[provider, region, service] += cost
        return found

    def fits(self, **told):
        return all(value in self.choice.get(name, [value]) for name, value in told.items())

    def total(self, month, whole=False):
        return sum(self.lines(month, whole).values())

    def by(self, *places, month=None):
        found = collections.Counter()
        for key, cost in self.lines(month or self.current).items():
            found[tuple(key[place] for place in places)] += cost
        return found

    def budgets(self):
        """Limits and spending of monthly budgets."""
        told = self.api.json("/api/v1/cost/budgets", limit=1000)["budgets"]
        currency = self.choice.get("currency", "USD")
        return {
            (one["name"],): (Decimal(one["limit"]), Decimal(one["current"]["spent"]))
            for one in told
            if one["period"] == "month" and one["currency"] == currency and self.fits(budget=one["name"])
        }

    def customers(self):
        """The five whose tagged charges have cost most in the running month."""
        found = collections.Counter()
        for row in self.api.table("/api/v1/cost/report", by="tag:tenant,provider", month=self.current):
            tenant, provider, *_ = row.values()
            if tenant and row["BillingCurrency"] == self.choice.get("currency", "USD") and self.fits(provider=provider):
                found[tenant,] += Decimal(row["BilledCost"])
        return dict(found.most_common(5))

    def tenants(self):
        lines = self.api.json("/api/v1/usage", group_by="tenant")["rows"]
        return [Decimal(line["cost_usd"]) for line in lines if Decimal(line["cost_usd"]) > 0]


def limits(bills):
    return sum(limit for limit, _ in bills.budgets().values())


def spent(bills):
    return sum(spent for _, spent in bills.budgets().values())


def alone(value):
    return {(): value} if value else {}


def drivers(bills):
    lines = {key: cost for key, cost in bills.lines(bills.current).items() if key[2] != OTHER}
    return dict(sorted(lines.items(), key=lambda line: -line[1])[:10])


def storage(bills, month):
    found = bills.by(2, 1, month=month)
    return {key: cost for key, cost in found.items() if any(name in key[0] for name in STORAGE)}


def growth(bills):
    # /metrics has the running month and the twelve before.
    months = sorted({row[0] for row in bills.rows} - {bills.current})[-12:]
    pairs = zip(months, months[1:])
    found = {(b,): 100 * (bills.total(b) / bills.total(a) - 1) for a, b in pairs if bills.total(a) and bills.total(b)}
    return found


# What each query of the cloud's dashboard shows, and by which labels; None where the API has no such number.
QUERIES = {
    ("Monthly spend ($currency)", "A"): ((), lambda b: alone(b.total(b.current))),
    ("Monthly spend ($currency)", "B"): ((), lambda b: alone(limits(b) and 100 * spent(b) / limits(b))),
    ("Monthly budget ($currency)", "A"): ((), lambda b: alone(limits(b))),
    ("Monthly budget ($currency)", "B"): ((), lambda b: alone(limits(b) - spent(b))),
    ("Budget utilisation", "A"): (
        ("budget",),
        lambda b: {name: 100 * used / limit for name, (limit, used) in b.budgets().items()},
    ),
    ("Cost per customer", "A"): ((), lambda b: alone(b.total(b.current) / len(b.tenants()))),
    ("Cost per customer", "B"): ((), lambda b: alone(sum(b.tenants()) / len(b.tenants()))),
    ("Cost per customer", "C"): (("tenant_id",), lambda b: b.customers()),
    ("Spend trend against budget and forecast ($currency)", "A"): ((), lambda b: alone(b.total(b.current))),
    ("Spend trend against budget and forecast ($currency)", "B"): ((), lambda b: alone(limits(b))),
    ("Spend trend against budget and forecast ($currency)", "C"): ((), None),
    ("Cost by region ($currency)", "A"): (("region",), lambda b: b.by(1)),
    ("Cost by service ($currency)", "A"): (("service",), lambda b: b.by(2)),
    ("Top 10 cost drivers ($currency)", "A"): (("provider", "region", "service"), drivers),
    ("Top 10 cost drivers ($currency)", "B"): (
        ("provider", "region", "service"),
        lambda b: {key: 100 * cost / b.total(b.current) for key, cost in drivers(b).items()},
    ),
    ("Top 10 cost drivers ($currency)", "C"): (
        ("provider", "region", "service"),
        lambda b: {key: b.lines(b.previous)[key] for key in drivers(b)},
    ),
    ("Month-over-month growth", "A"): (("month",), growth),
    ("Storage costs: S3, EBS, RDS ($currency)", "A"): (("service", "region"), lambda b: storage(b, b.current)),
    ("Storage costs: S3, EBS, RDS ($currency)", "B"): (("service", "region"), lambda b: storage(b, b.previous)),
}


def main():
    api, prometheus = Api(sys.argv[1]), Prometheus(sys.argv[2])
    dashboards = boards.read()
    cloud = dashboards[CLOUD]
    has_data(prometheus, cloud, nothing)
    asked = {(p["title"], t["refId"]): t for p in boards.panels(cloud) for t in p["targets"]}
    if set(asked) != set(QUERIES):
        sys.exit(f"queries without a proof, or the other way round: {set(asked) ^ set(QUERIES)}")
    for choice in CHOICES:
        bills = Bills(api, choice)
        values = boards.chosen(cloud, choice)
        for key, (labels, compute) in QUERIES.items():
            query = boards.promql(asked[key]["expr"], values, WINDOW)
            until = time.monotonic() + PATIENCE
            while compute:
                found = prometheus.series(query, asked[key]["instant"])
                fault = difference(found, labels, compute(bills))
                if not fault:
                    break
                if time.monotonic() > until:
                    sys.exit(f"{key}, {choice or 'All'}: {query}\n{fault}")
                # What was done a moment ago is read, scraped and shown in turn.
                time.sleep(1)
    count = sum(compute is not None for _, compute in QUERIES.values())
    print(f"panels: {count} queries say what the API says, {len(CHOICES)} choices each")
    has_data(prometheus, dashboards[SERVICE], lambda: calls(api))


def nothing():
    pass


def difference(found, labels, wanted):
    told = {tuple(dict(key).get(label) for label in labels): value for key, value in found.items()}
    # The forecast stands beside the months that were.
    told.pop(("forecast",), None)
    if len(told) + 1 < len(found) or set(told) != set(wanted):
        return f"{sorted(told)} are not {sorted(wanted)}"
    for key, value in wanted.items():
        if not math.isclose(told[key], value, rel_tol=1e-9, abs_tol=1e-9):
            return f"{key}: {told[key]} is not {value}"
    return None


def has_data(prometheus, board, traffic):
    """Every query of a dashboard, its variables and its annotations, within the patience."""
    values = boards.chosen(board, {})
    until = time.monotonic() + PATIENCE
    missing = ["everything"]
    while missing:
        traffic()
        missing = []
        for one in board["templating"]["list"]:
            if one["type"] == "query":
                found = prometheus.values(one["query"]["query"], values)
                if not found or None in found:
                    missing.append(f"variable {one['name']}: {found}")
        asked = [(panel["title"], target) for panel in boards.panels(board) for target in panel["targets"]]
        asked += [(one["name"], one | {"instant": True}) for one in board["annotations"]["list"] if "expr" in one]
        for title, target in asked:
            query = boards.promql(target["expr"], values, WINDOW)
            found = prometheus.series(query, target["instant"])
            if not found or all(map(math.isnan, found.values())):
                missing.append(f"{title}: {query}")
        if missing and time.monotonic() > until:
            sys.exit(f"{board['uid']}: no data after {PATIENCE} s:\n" + "\n".join(missing))
        time.sleep(1)
    print(f"panels: {len(asked)} queries of {board['uid']} have data")


if __name__ == "__main__":
    main()

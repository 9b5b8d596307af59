"""Every statement of the AI dashboard, run on Postgres as the role of dashboards, says what the API says.

usage: tables.py PORT DATABASE-URL READER

Each is asked for All, for one and for several tenants and models. What must come out is computed from the
API's own list of calls, or asked for directly.
"""

import collections
import datetime
import json
import subprocess
import sys
import urllib.parse
from decimal import Decimal

import boards
from api import Api
from world import HAIKU, OPUS, QUOTED, SONNET

CHOICES = [
    {},
    {"tenant": ["acme"]},
    {"tenant": ["acme", QUOTED], "model": [SONNET, OPUS]},
    {"model": [HAIKU]},
    {"tenant": ["nobody"]},
]
REACH = datetime.timedelta(days=30)
MILLION = 1_000_000


class Calls:
    """The API's calls in the time range, of the tenants and models that are chosen."""

    def __init__(self, api, choice, start, end):
        self.api, self.choice, self.start, self.end = api, choice, start, end
        self.all = []
        for row in api.csv("/api/v1/usage/export.csv", **{"from": start.isoformat(), "to": end.isoformat()}):
            caches = sum(int(row[key]) for key in row if key.startswith("cache_"))
            row["prompt"] = int(row["prompt_tokens"]) + caches
            row["completion"] = int(row["completion_tokens"])
            row["cost"] = Decimal(row["cost_usd"]) if row["cost_usd"] else None
            row["at"] = datetime.datetime.fromisoformat(row["timestamp"])
            if self.fits(row["tenant_id"], row["model"]):
                self.all.append(row)
        first = end.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self.month = [row for row in self.all if row["at"] >= first]

    def fits(self, tenant, model):
        chosen = self.choice.get
        return tenant in chosen("tenant", [tenant]) and model in chosen("model", [model])

    def budgets(self):
        """Monthly budgets of tenants and models, as the API shows them."""
        for tenant in sorted(self.tenants()):
            told = self.api.json(f"/api/ai-budget/tenant/{urllib.parse.quote(tenant)}")
            for line in told["budgets"]:
                if self.fits(tenant, line["model"]) and line["period"] == "month":
                    yield tenant, line

    def tenants(self):
        page = self.api.json("/api/v1/budgets", limit=1000)
        return {line["tenant_id"] for line in page["budgets"]}


def summed(rows, *keys):
    """Costs, tokens and counts by some columns; a cost is none where no call has one."""
    found = collections.defaultdict(lambda: [None, 0, 0, 0])
    for row in rows:
        sums = found[tuple(row[key] for key in keys)]
        if row["cost"] is not None:
            sums[0] = (sums[0] or Decimal(0)) + row["cost"]
        sums[1] += row["prompt"]
        sums[2] += row["completion"]
        sums[3] += 1
    return found


def cost_of(rows):
    return summed(rows).get((), [None])[0]


def largest_first(found):
    return sorted(found.items(), key=lambda one: (-(one[1][0] or Decimal(-1)), one[0]))


def average(calls):
    costs = [row["cost"] for row in calls.all if row["report_type"] and row["cost"] is not None]
    return [[sum(costs) / len(costs) if costs else None]]


def tokens(calls):
    sums = summed(calls.month).get((), [None, None, None])
    return [[sums[1], sums[2]]]


def over(calls):
    refused = {
        tenant
        for tenant, line in calls.budgets()
        if line["hard_limit_reached"]
        and (Decimal(line["monthly_limit_usd"]) or Decimal(line["current_usage_usd"]))
    }
    return [[len(refused)]]


def efficiency(calls):
    priced = summed([row for row in calls.all if row["cost"] is not None], "model")
    rates = [(name, sums[0] * MILLION / (sums[1] + sums[2])) for (name,), sums in priced.items()]
    return sorted(rates, key=lambda rate: (-rate[1], rate[0]))[:10]


def daily(calls):
    for row in calls.all:
        row["day"] = int(row["at"].replace(hour=0, minute=0, second=0, microsecond=0).timestamp())
    return [[*key, sums[0]] for key, sums in sorted(summed(calls.all, "day", "model").items())]


def by_model(calls):
    return [[model, sums[0]] for (model,), sums in largest_first(summed(calls.all, "model"))]


def top(calls):
    ours = [[key[0], *sums] for key, sums in largest_first(summed(calls.month, "tenant_id"))][:10]
    if not calls.choice:
        told = calls.api.json("/api/ai-budget/top-consumers")["consumers"]
        names = ("tenant_id", "total_usage_usd", "total_input_tokens", "total_output_tokens")
        same([[row[name] for name in names] for row in told], [row[:4] for row in ours], "the API")
    return ours


def risk(calls):
    rows = []
    for tenant, line in calls.budgets():
        spent, limit = Decimal(line["current_usage_usd"]), Decimal(line["monthly_limit_usd"])
        if limit and line["status"] != "ok":
            state = "refused" if line["hard_limit_reached"] else "warned"
            used = Decimal(line["percentage_used"])
            rows.append([tenant, line["model"], used, spent, limit, limit - spent, None, state])
    return sorted(rows, key=lambda row: (-row[3] / row[4], row[0], row[1]))


def anomalies(calls):
    days = collections.defaultdict(dict)
    for row in calls.all:
        per_day = days[row["tenant_id"]]
        day = row["at"].date()
        per_day[day] = per_day.get(day, Decimal(0)) + (row["cost"] or 0)
    rows = []
    for tenant, costs in days.items():
        for day, cost in costs.items():
            before = [costs[one] for one in costs if 1 <= (day - one).days <= 28]
            if len(before) >= 3 and cost >= 1 and cost > 3 * sum(before) / len(before):
                usual = sum(before) / len(before)
                rows.append([day.isoformat(), tenant, cost, usual, cost / usual])
    return sorted(rows, key=lambda row: (row[0], row[4]), reverse=True)


def dear(calls):
    rows = [row for row in calls.all if row["cost"] is not None and row["cost"] > 1]
    rows.sort(key=lambda row: row["at"], reverse=True)
    names = ("at", "tenant_id", "model", "cost", "prompt", "completion")
    return [[row[name] for name in names] + [row["report_type"], row["user_id"], row["request_id"]] for row in rows[:100]]


# What each panel shows, and whether All has to have rows.
PANELS = {
    "AI spend, month to date": lambda calls: [[cost_of(calls.month)]],
    "Tokens, month to date": tokens,
    "Average cost per report": average,
    "Tenants over budget": over,
    "Token efficiency": efficiency,
    "Daily spend": daily,
    "Cost by model": by_model,
    "Top 10 consumers, month to date": top,
    "Tenants at risk (> 80 %)": risk,
    "Anomalies (> 3× the average)": anomalies,
    "Recent requests over $1": dear,
}


def same(found, wanted, what):
    if len(found) != len(wanted):
        sys.exit(f"{what}: {len(found)} rows, not {len(wanted)}:\n{found}\n{wanted}")
    for one, other in zip(found, wanted):
        if not all(map(equal, one, other)):
            sys.exit(f"{what}: {one} is not {other}")


def equal(found, wanted):
    if found in (None, "") or wanted in (None, ""):
        return not found and not wanted
    if isinstance(wanted, datetime.datetime):
        return datetime.datetime.fromisoformat(found) == wanted
    if isinstance(wanted, (int, Decimal)):
        # Sums have to be exact; quotients have as many digits as Postgres gives them.
        return abs(Decimal(found) - wanted) <= Decimal("1E-12") * max(1, abs(wanted))
    return found == wanted


class Reader:
    """Postgres, as the role of dashboards."""

    def __init__(self, url, role):
        parts = urllib.parse.urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self.url = parts._replace(netloc=f"{role}@{host}").geturl()

    def psql(self, statement):
        words = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", statement]
        return subprocess.run(words, capture_output=True, text=True)

    def rows(self, statement):
        asked = self.psql(f"select row_to_json(answer) from (\n{statement}\n) as answer")
        if asked.returncode:
            sys.exit(f"{asked.stderr}\n{statement}")
        rows = [json.loads(line, parse_float=Decimal) for line in asked.stdout.splitlines()]
        return [list(row.values()) for row in rows]

    def refused(self, statement):
        told = self.psql("begin read write; " + statement)
        if told.returncode == 0 or "permission denied" not in told.stderr:
            sys.exit(f"the role of dashboards may {statement}: {told.stderr}")


def main():
    port, url, role = sys.argv[1:]
    api, reader = Api(port), Reader(url, role)
    board = boards.read()["finops-ai-budget.json"]
    end = datetime.datetime.now(datetime.timezone.utc)
    start = end - REACH
    panels = {panel["title"]: panel for panel in boards.panels(board)}
    if set(panels) != set(PANELS):
        sys.exit(f"panels without a proof, or the other way round: {set(panels) ^ set(PANELS)}")
    for choice in CHOICES:
        calls = Calls(api, choice, start, end)
        values = boards.chosen(board, choice)
        for title, compute in PANELS.items():
            (target,) = panels[title]["targets"]
            found = reader.rows(boards.sql(target["rawSql"], values, start, end))
            wanted = compute(calls)
            if title.startswith("Tenants at risk"):
                wanted = [[*row[:6], told[6], row[7]] for row, told in zip(wanted, found)] if len(wanted) == len(found) else wanted
            same(found, wanted, f"{title}, {choice or 'All'}")
            if not choice and not any(cell for row in found for cell in row):
                sys.exit(f"{title}: shows nothing")
        annotations(reader, board, values, calls)
    for one in board["templating"]["list"]:
        if one["type"] == "query":
            rows = reader.rows(boards.sql(one["query"], {}, start, end))
            if len(rows) < 3 or [QUOTED] not in rows and one["name"] == "tenant":
                sys.exit(f"variable {one['name']}: {rows}")
    prunes(reader, panels, boards.chosen(board, {}), start, end)
    for statement in ("insert into ai_token_budgets values ('a', 'b', 1)", "select * from entry",
                      "select hash from api_key", "select name from event", "select * from reservation"):
        reader.refused(statement)
    print(f"panels: {len(PANELS)} statements say what the API says, {len(CHOICES)} choices each")


def annotations(reader, board, values, calls):
    (asked,) = [one for one in board["annotations"]["list"] if not one.get("builtIn")]
    rows = reader.rows(boards.sql(asked["target"]["rawSql"], values, calls.start, calls.end))
    told = calls.api.json("/api/v1/events", limit=1000)["events"]
    wanted = sorted(
        (event["at"], f"{event['kind']},{event['tenant_id']},{event['model']}")
        for event in told
        if event["kind"] in ("threshold", "exhausted")
        and "tenant_id" in event
        and calls.fits(event["tenant_id"], event["model"])
    )
    if sorted(row[2] for row in rows) != sorted(tags for _, tags in wanted):
        sys.exit(f"annotations: {rows} are not {wanted}")
    if not calls.choice and not rows:
        sys.exit("annotations: there are none")


def prunes(reader, panels, values, start, end):
    """A month's sum reads no other month's partition."""
    statement = boards.sql(panels["AI spend, month to date"]["targets"][0]["rawSql"], values, start, end)
    plan = reader.psql(f"explain {statement}").stdout
    if f"ai_token_usage_{end:%Y_%m}" not in plan or f"ai_token_usage_{end.replace(day=1) - datetime.timedelta(days=1):%Y_%m}" in plan:
        sys.exit(f"partitions are not pruned:\n{plan}")


if __name__ == "__main__":
    main()

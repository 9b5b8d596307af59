"""The rules of Grafana's dashboard linter, and those of this project.

Where a rule is not followed, EXCEPTIONS says why; one that nothing needs any more is a fault, too.
"""

import itertools
import re

from grafana_foundation_sdk.models import units

# How often each dashboard asks anew, and how many panels the contract gives it.
BOARDS = {
    "finops-cloud-cost": ("5m", 10),
    "finops-ai-budget": ("1m", 11),
    "bursar-service": ("1m", None),
}
SCHEMA_VERSION = 39
SOURCES = {"prometheus": "prometheus", "grafana-postgresql-datasource": "sql"}
# Shares of a budget: green up to 70 %, a warning from 80 %, critical from 100 %.
SHARE = [(None, "green"), (70, "yellow"), (80, "orange"), (100, "red")]
SHARES = {
    ("finops-cloud-cost", "Monthly spend ($currency)", "of the budgets"),
    ("finops-cloud-cost", "Budget utilisation", None),
    ("finops-ai-budget", "Tenants at risk (> 80 %)", "Used"),
}
BUILT_IN = {"__interval", "__rate_interval", "__range", "__url_time_range", "__value"}
SAME = "all replicas show the same: one of them is taken, whichever"
EXCEPTIONS = {
    ("template-instance", "finops-cloud-cost", None): SAME,
    ("target-instance", "finops-cloud-cost", None): SAME,
    ("target-instance", "bursar-service", "Age of bills"): SAME,
    ("target-instance", "bursar-service", "Age of sources"): SAME,
}
SELECTOR = re.compile(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^{}]*)\}(\[[^\]]*\])?")
NAMES = {
    name: value
    for name, value in vars(units).items()
    if isinstance(value, str) and not name.startswith("_")
}


class Lint:
    """What is wrong with a dashboard; `kinds` tells of each metric whether it is a counter."""

    def __init__(self, board, kinds):
        self.board, self.kinds, self.uid = board, kinds, board.get("uid", "")
        self.found, self.used = [], set()
        self.variables = {one["name"]: one for one in board["templating"]["list"]}
        self.panels = [panel for panel in board["panels"] if panel["type"] != "row"]

    def say(self, rule, text, panel=None):
        title = panel and panel.get("title")
        keys = {(rule, self.uid, title), (rule, self.uid, None)} & set(EXCEPTIONS)
        self.used |= keys
        if not keys:
            self.found.append(f"{self.uid}: {title or 'dashboard'}: {rule}: {text}")

    def run(self):
        self.whole()
        self.templates()
        self.places()
        for panel in self.panels:
            self.panel(panel)
            for target in panel.get("targets", []):
                self.target(panel, target)
        unused = {key for key in EXCEPTIONS if key[1] == self.uid} - self.used
        self.found += [f"exception {key}: nothing needs it" for key in sorted(unused, key=str)]
        return self.found

    def whole(self):
        refresh, count = BOARDS.get(self.uid, (None, None))
        if self.uid not in BOARDS:
            self.say("uid", f"{self.uid!r} is none of {sorted(BOARDS)}")
        if self.board["refresh"] != refresh:
            self.say("refresh", f"{self.board['refresh']} is not {refresh}")
        if count not in (None, len(self.panels)):
            self.say("panels", f"{len(self.panels)} are not {count}")
        if self.board["editable"]:
            self.say("uneditable-dashboard", "what is provisioned is changed in its file")
        if self.board["schemaVersion"] < SCHEMA_VERSION:
            self.say("schema-version", "older than Grafana 10.3")
        if self.board.get("id") or "__inputs" in self.board or "__requires" in self.board:
            self.say("portable", "an export's own id and inputs can't be provisioned")
        links = [link for link in self.board["links"] if link["type"] == "dashboards"]
        if not any(set(link["tags"]) <= set(self.board["tags"]) for link in links):
            self.say("links", "no links to the other dashboards")
        asked = [one for one in self.board["annotations"]["list"] if not one.get("builtIn")]
        if not asked:
            self.say("annotations", "alerts are not marked")
        for one in asked:
            self.source(one["datasource"], "annotations", None)

    def templates(self):
        source = self.variables.get("datasource")
        if not source or source["type"] != "datasource" or source["label"] != "Data source":
            self.say("template-datasource", "no variable `datasource`, labelled `Data source`")
            return
        if SOURCES.get(source["query"]) == "prometheus":
            for name in ("job", "instance"):
                if name not in self.variables:
                    self.say(f"template-{name}", f"no variable `{name}`")
        for name, one in self.variables.items():
            if one["type"] != "query":
                continue
            self.source(one["datasource"], "template-datasource", None)
            if one["refresh"] != 2:
                self.say("template-on-time-change-reload", f"{name} is not asked anew")
            if one.get("label", "") in ("", name):
                self.say("template-label", f"{name} has no label for people")
            if one["includeAll"] and not (one["multi"] and one.get("allValue")):
                self.say("template-all", f"{name}: All would list every value in each query")

    def source(self, reference, rule, panel):
        wanted = {"type": self.variables["datasource"]["query"], "uid": "${datasource}"}
        if reference != wanted:
            self.say(rule, f"data source {reference} is not {wanted}", panel)

    def places(self):
        ids = [panel["id"] for panel in self.board["panels"]]
        if len(set(ids)) < len(ids):
            self.say("ids", "two panels have the same id")
        for panel in self.board["panels"]:
            place = panel["gridPos"]
            if place["x"] < 0 or place["x"] + place["w"] > 24 or min(place["w"], place["h"]) < 1:
                self.say("grid", "outside of the 24 columns", panel)
        for one, other in itertools.combinations(self.board["panels"], 2):
            a, b = one["gridPos"], other["gridPos"]
            if all(a[s] < b[s] + b[l] and b[s] < a[s] + a[l] for s, l in ("xw", "yh")):
                self.say("grid", f"overlaps {other['title']}", one)

    def panel(self, panel):
        self.source(panel["datasource"], "panel-datasource", panel)
        if not panel.get("title") or not panel.get("description"):
            self.say("panel-title-description", "what does it show?", panel)
        if not panel.get("targets"):
            self.say("panel-no-targets", "asks nothing", panel)
        defaults = panel["fieldConfig"]["defaults"]
        if not defaults.get("noValue"):
            self.say("panel-no-value", "what does it say without data?", panel)
        if not defaults.get("thresholds", {}).get("steps"):
            self.say("panel-thresholds", "has none", panel)
        fields = [(None, defaults)]
        for override in panel["fieldConfig"]["overrides"]:
            told = {one["id"]: one["value"] for one in override["properties"]}
            fields.append((override["matcher"]["options"], told))
        for name, told in fields:
            unit = told.get("unit")
            is_named = unit in NAMES.values() or str(unit).startswith("suffix:")
            if not is_named and (name is None or unit is not None):
                self.say("panel-units", f"{unit!r} is no unit of Grafana's", panel)
            if (self.uid, panel["title"], name) in SHARES:
                steps = [(one["value"], one["color"]) for one in told["thresholds"]["steps"]]
                if steps != SHARE:
                    self.say("panel-thresholds", f"{steps} are not those of budgets", panel)

    def target(self, panel, target):
        self.source(target["datasource"], "target-datasource", panel)
        query = target.get("expr") or target.get("rawSql") or ""
        for name in re.findall(r"\$\{?([a-zA-Z_]\w*)", query):
            macro = name.startswith("__time")
            if name not in self.variables and name not in BUILT_IN and not macro:
                self.say("target-variables", f"${name} is no variable", panel)
        (self.promql if "expr" in target else self.sql)(panel, query)

    def promql(self, panel, query):
        selectors = SELECTOR.findall(query)
        if not selectors:
            self.say("target-promql", "no metric with a selector", panel)
        for metric, labels, window in selectors:
            for label in ("job", "instance"):
                if f'{label}=~"${label}"' not in labels:
                    self.say(f"target-{label}", f"{metric} is not of the chosen {label}", panel)
            kind = self.kinds.get(re.sub(r"_(bucket|sum|count)$", "", metric), None)
            kind = self.kinds.get(metric, kind)
            is_rate = re.search(rf"\b(rate|increase)\s*\(\s*{metric}\{{", query) is not None
            if kind is None:
                self.say("target-metric", f"{metric} is not in docs/reference/metrics.md", panel)
            elif is_rate != (kind != "gauge"):
                self.say("target-counter-agg", f"{metric} is a {kind}", panel)
            if is_rate and window != "[$__rate_interval]":
                self.say("target-rate-interval", f"{metric} is asked over {window}", panel)
            if re.search("cost(_tenant)?_monthly$", metric) and "month=" not in labels:
                self.say("target-month", "months have two names: ask for one", panel)

    def sql(self, panel, query):
        flat = " ".join(query.split())
        for part in re.split(r"\bfrom ", flat)[1:]:
            table = part.split()[0]
            bounds = {
                "ai_token_usage": r"where \$__timeFilter\(timestamp\)|where timestamp >= .+ and timestamp <= \$__timeTo",
                "ai_budget_summary": r"where day >= .+ and day <",
                "ai_token_budgets": "",
            }
            if table in bounds and not re.match(rf"\S+ ({bounds[table]})", part):
                self.say("target-bounded", f"{table} is read without bounds in time", panel)
            if table in bounds and "tenant_id in (${tenant:sqlstring})" not in part:
                self.say("target-tenant", f"{table} is not of the chosen tenants", panel)

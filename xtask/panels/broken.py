"""Dashboards that are broken on purpose: each must be found, or the checks check nothing."""

import copy

import lint
import schema


def first(board):
    return lint.Lint(board, {}).panels[0]


def set_in(path, value):
    """Puts a value at a path below the first panel."""

    def change(board):
        place, *rest = path.split(".")
        part = first(board) if place == "panel" else board[place]
        for name in rest[:-1]:
            part = part[int(name)] if name.isdigit() else part[name]
        part[rest[-1]] = value

    return change


def expression(old, new):
    def change(board):
        target = first(board)["targets"][0]
        key = "expr" if "expr" in target else "rawSql"
        assert old in target[key], old
        target[key] = target[key].replace(old, new)

    return change


def doubled(board):
    board["panels"].append(copy.deepcopy(first(board)))


EVERY = {
    "no such field": set_in("panel.options.colourMode", "value"),
    "is none of": set_in("panel.options.colorMode", "loud"),
    "is no int": set_in("panel.gridPos.w", "wide"),
    "overlaps": doubled,
    "two panels have the same id": doubled,
    "panel-title-description": set_in("panel.description", ""),
    "panel-no-value": set_in("panel.fieldConfig.defaults.noValue", ""),
    "panel-units": set_in("panel.fieldConfig.defaults.unit", "dollars"),
    "panel-datasource": set_in("panel.datasource.uid", "P1809F7CD0C75ACF3"),
    "panel-thresholds": set_in("panel.fieldConfig.defaults.thresholds", {"mode": "absolute", "steps": []}),
    "template-all": set_in("templating.list.1.allValue", ""),
}
CLOUD = {
    "target-job": expression('job=~"$job",', ""),
    "target-counter-agg": expression("sum by (job, instance) (", "sum by (job, instance) (rate("),
    "target-month": expression(',month="current"', ""),
    "target-metric": expression("cloud_cost_monthly", "cloud_cost_yearly"),
    "target-variables": expression("$region", "$regoin"),
}
AI = {
    "target-bounded": expression("timestamp >=", "timestamp >"),
    "target-tenant": expression("and tenant_id in (${tenant:sqlstring})", ""),
}


def faults(board, kinds):
    """By the schema; and by the rules, where it is a dashboard at all."""
    return list(schema.faults(board)) or lint.Lint(board, kinds).run()


def unfound(boards, kinds):
    """What nobody would notice."""
    for name, more in (("finops-cloud-cost.json", CLOUD), ("finops-ai-budget.json", AI)):
        for told, change in (EVERY | more).items():
            board = copy.deepcopy(boards[name])
            change(board)
            found = faults(board, kinds)
            if not any(told in fault for fault in found):
                yield f"{name}: broken so that it says {told!r}, and it says {found}"

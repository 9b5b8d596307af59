"""The dashboards, and what Grafana makes of their queries before it asks."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Grafana's own: the special letters of a regular expression, escaped once for it and once for a text.
SPECIAL = re.compile(r"[$^*{}\[\]'+?.()|]")


def read():
    """Every dashboard by the name of its file."""
    files = sorted((ROOT / "deploy/grafana").glob("*.json"))
    return {file.name: json.loads(file.read_text()) for file in files}


def kinds():
    """What docs/reference/metrics.md says each metric is."""
    found = {"ALERTS": "gauge"}
    for line in (ROOT / "docs/reference/metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 5 or not cells[1].startswith("`"):
            continue
        told = [kind.strip() for kind in cells[2].split(",")]
        for place, name in enumerate(re.findall(r"`([a-z0-9_]+)`", cells[1])):
            found[name] = told[min(place, len(told) - 1)]
    return found


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def chosen(board, choice):
    """The variables' values: those that are chosen, else All, which stands as it is written."""
    values = {}
    for one in board["templating"]["list"]:
        if one["type"] == "query":
            whole = Everything(one["allValue"]) if one["includeAll"] else one["current"]["value"]
            values[one["name"]] = choice.get(one["name"], whole)
    return values


class Everything(str):
    """The custom value of All: Grafana puts it in without any quoting."""


def promql(query, values, window):
    """A query as Prometheus gets it: multi-value variables become regular expressions."""
    query = query.replace("$__rate_interval", window)

    def one(match):
        value = values[match[1]]
        if isinstance(value, str):
            return value if isinstance(value, Everything) else plain(value)
        escaped = [SPECIAL.sub(r"\\\\\g<0>", text.replace("\\", r"\\\\")) for text in value]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    return re.sub(r"\$\{?([a-z]\w*)\}?", one, query)


def plain(text):
    return text.replace("\\", r"\\").replace('"', r"\"")


def sql(query, values, start, end):
    """A statement as Postgres gets it: the data source's macros, and variables as `sqlstring`."""
    start, end = (f"'{moment.isoformat().replace('+00:00', 'Z')}'" for moment in (start, end))

    def macro(match):
        name, inside = match[1], [word.strip() for word in (match[2] or "").split(",")]
        if name == "timeFilter":
            return f"{inside[0]} BETWEEN {start} AND {end}"
        if name in ("timeFrom", "timeTo"):
            return start if name == "timeFrom" else end
        length = inside[1].strip("'")
        seconds = int(length[:-1]) * UNITS[length[-1]]
        group = f"floor(extract(epoch from {inside[0]})/{seconds})*{seconds}"
        return f'{group} AS "time"' if name == "timeGroupAlias" else group

    def variable(match):
        value = values[match[1]]
        if isinstance(value, Everything):
            return value
        return ",".join("'" + text.replace("'", "''") + "'" for text in value)

    query = re.sub(r"\$__(\w+)\(([^()]*)\)", macro, query)
    return re.sub(r"\$\{(\w+):sqlstring\}", variable, query)

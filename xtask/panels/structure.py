"""Dashboards as files: Grafana's schema, the linter's rules, and that every metric is one of Bursar's.

usage: structure.py
"""

import sys

import boards
import broken



def around(dashboards):
    """What brings the dashboards to Grafana has to know all of them, and what they ask."""
    folder = boards.ROOT / "deploy/grafana"
    listed = (folder / "kustomization.yaml").read_text().split()
    for name in dashboards:
        if listed.count(name) != 1:
            yield f"{name}: is not in kustomization.yaml, once"
    sources = (folder / "provisioning/datasources/bursar.yaml").read_text()
    for name, board in dashboards.items():
        (kind,) = [one["query"] for one in board["templating"]["list"] if one["type"] == "datasource"]
        if f"type: {kind}\n" not in sources:
            yield f"{name}: no data source of type {kind} is provisioned"


found = list(broken.unfound(boards.read(), boards.kinds()))
for name, board in boards.read().items():
    found += [f"{name}: {fault}" for fault in broken.faults(board, boards.kinds())]
    if name != f"{board['uid']}.json":
        found.append(f"{name}: is of another name than its uid {board['uid']}")
found += around(boards.read())
if found:
    sys.exit("\n".join(found))
print("panels: the dashboards keep Grafana's schema and the linter's rules")

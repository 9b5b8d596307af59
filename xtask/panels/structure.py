"""Dashboards as files: Grafana's schema, the linter's rules, and that every metric is one of Bursar's.

usage: structure.py
"""

import sys

import boards
import broken

found = list(broken.unfound(boards.read(), boards.kinds()))
for name, board in boards.read().items():
    found += [f"{name}: {fault}" for fault in broken.faults(board, boards.kinds())]
    if name != f"{board['uid']}.json":
        found.append(f"{name}: is of another name than its uid {board['uid']}")
if found:
    sys.exit("\n".join(found))
print("panels: the dashboards keep Grafana's schema and the linter's rules")

"""Grafana's own schema of a dashboard, as its Foundation SDK has it.

The SDK's classes are made from the schema. They read what they know and drop the rest, and take values of any type. So a
dashboard is read and written by them: what does not come back is no field of Grafana's. And each value is held against
the type that the class names.
"""

import enum
import json
import typing

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as schema

# What Grafana reads and its schema does not have, as the last words of a path, and where it is read.
BEYOND = {
    # The schema knows the target of Grafana's own annotations alone.
    "annotations.target": "public/app/features/annotations/standardAnnotationSupport.ts",
    # Prometheus' annotations.
    "annotations.step": "packages/grafana-prometheus/src/annotations.ts",
    "annotations.tagKeys": "packages/grafana-prometheus/src/annotations.ts",
    "annotations.textFormat": "packages/grafana-prometheus/src/annotations.ts",
    "annotations.titleFormat": "packages/grafana-prometheus/src/annotations.ts",
    "annotations.useValueForTime": "packages/grafana-prometheus/src/annotations.ts",
}


def faults(board):
    """What of a dashboard Grafana does not know, or knows as another type."""
    register_default_plugins()
    read = schema.Dashboard.from_json(json.loads(json.dumps(board)))
    written = json.loads(json.dumps(read, cls=JSONEncoder))
    yield from lost(board, written, "")
    yield from mistyped(read, schema.Dashboard, "dashboard")


def lost(ours, theirs, path):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            here = f"{path}.{key}"
            words = [word for word in here.split(".") if word and not word.isdigit()]
            if any(words[: len(known.split("."))] == known.split(".") for known in beyond()):
                continue
            if key not in theirs:
                # What is empty is the same as what is not there.
                if value not in (None, "", [], {}, False):
                    yield f"{here}: Grafana's schema has no such field"
            else:
                yield from lost(value, theirs[key], here)
    elif isinstance(ours, list) and isinstance(theirs, list):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{path}.{number}")
    elif ours != theirs:
        yield f"{path}: {ours!r} comes back as {theirs!r}"


def beyond():
    for known in BEYOND:
        head, field = known.split(".")
        yield f"{head}.list.{field}"


def mistyped(value, wanted, path):
    """Where a value is not of the type that its class says."""
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted in (typing.Any, object):
        # Of a panel's options the schema says no more than this; the class that has read them does.
        yield from mistyped_fields(value, path)
    elif origin is typing.Union:
        # Of several, the value's own class; else any has to fit.
        others = [part for part in parts if part is not type(None)]
        fitting = [part for part in others if part is type(value)] or others
        found = [list(mistyped(value, part, path)) for part in fitting]
        if not (value is None and len(others) < len(parts)) and all(found):
            yield from found[0]
    elif origin is typing.Literal:
        if value not in parts:
            yield f"{path}: {value!r} is none of {parts}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        for number, item in enumerate(value):
            yield from mistyped(item, parts[0], f"{path}.{number}")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is no object"
            return
        for key, item in value.items():
            yield from mistyped(item, parts[1], f"{path}.{key}")
    elif isinstance(wanted, type):
        yield from mistyped_plain(value, wanted, path)


def mistyped_plain(value, wanted, path):
    if issubclass(wanted, enum.Enum):
        known = [one.value for one in wanted]
        if (value.value if isinstance(value, enum.Enum) else value) not in known:
            yield f"{path}: {value!r} is none of {known}"
        return
    # The SDK leaves some parts unread.
    if isinstance(value, dict) and hasattr(wanted, "from_json"):
        value = wanted.from_json(value)
    number = wanted is float and isinstance(value, int)
    if not number and (not isinstance(value, wanted) or isinstance(value, bool) is not (wanted is bool)):
        yield f"{path}: {value!r} is no {wanted.__name__}"
        return
    yield from mistyped_fields(value, path)


def mistyped_fields(value, path):
    kind = type(value)
    if not kind.__module__.startswith("grafana_foundation_sdk.models"):
        return
    for name, wanted in typing.get_type_hints(kind).items():
        yield from mistyped(getattr(value, name), wanted, f"{path}.{name}")

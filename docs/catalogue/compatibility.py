"""What a changed message would break, judged by its JSON Schemas: the stored one and today's.

Two releases run side by side during a deploy, so each must read what the other writes.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def breaks(stored: Schema, today: Schema) -> list[str]:
    """Return what would go wrong between a writer of one and a reader of the other."""
    found: list[str] = []
    definitions: Schema = stored["$defs"]
    for name, definition in definitions.items():
        newer = today["$defs"].get(name)
        if newer is None:
            found.append(f"{name} is gone")
        elif "properties" in definition:
            found += _object_breaks(name, definition, newer)
        elif _type(definition) != _type(newer):
            found.append(f"{name} has changed")
    return found


def _object_breaks(name: str, stored: Schema, today: Schema) -> list[str]:
    found = []
    for field, kind in stored["properties"].items():
        newer = today["properties"].get(field)
        if newer is None:
            found.append(f"{name}.{field} is gone: older readers want it")
        elif _type(kind) != _type(newer):
            found.append(f"{name}.{field} has another type")
    before, now = (set(schema.get("required", ())) for schema in (stored, today))
    found += [f"{name}.{field} is required now: older writers do not send it"
              for field in sorted(now - before)]  # fmt: skip
    found += [f"{name}.{field} may be left out now: older readers want it"
              for field in sorted(before - now)]  # fmt: skip
    return found


def _type(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key not in {"default", "description"}}

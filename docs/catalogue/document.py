"""`docs/events.md`, made of the template and the messages."""

import inspect
import json
from collections.abc import Mapping
from typing import Any

from catalogue.messages import DEAD_LETTERS, MESSAGES, ROOT, Message

TEMPLATE = ROOT / "docs" / "catalogue" / "events.template.md"
DOCUMENT = ROOT / "docs" / "events.md"
SCHEMAS = ROOT / "docs" / "schemas"


def document() -> str:
    """Return the whole text of `docs/events.md`."""
    text = TEMPLATE.read_text()
    rows = "\n".join(
        f"| [`{message.name}`](#{message.name.lower()}) | {message.where} | {message.who} |"
        for message in MESSAGES
    )
    values = {
        "{{messages}}": rows,
        "{{dead_letters}}": DEAD_LETTERS,
        "{{details}}": "\n".join(_details(message) for message in MESSAGES),
    }
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def schema_text(message: Message) -> str:
    """Return the schema as it is stored."""
    return json.dumps(message.schema(), indent=1) + "\n"


def _details(message: Message) -> str:
    schema = message.schema()
    parts = [f"### {message.name}", inspect.getdoc(message.struct) or "", ""]
    parts += [f"`{message.type_name}`, [schema](schemas/{message.type_name}.json)", ""]
    for name, definition in schema["$defs"].items():
        if "properties" not in definition:
            continue
        if name != message.name:
            parts += [f"`{name}`: {_first_sentence(definition)}", ""]
        parts += ["| field | type | |", "|---|---|---|"]
        required = definition.get("required", ())
        parts += [
            f"| `{field}` | {_type(kind)} | {_presence(field, kind, required)} |"
            for field, kind in definition["properties"].items()
        ]
        parts.append("")
    parts += ["```json", message.sample().decode().rstrip(), "```", ""]
    return "\n".join(parts)


def _first_sentence(definition: Mapping[str, Any]) -> str:
    return str(definition.get("description", "")).partition("\n")[0]


def _presence(field: str, kind: Mapping[str, Any], required: Any) -> str:
    if field in required:
        return "required"
    return f"default `{json.dumps(kind['default'])}`" if "default" in kind else "optional"


def _type(kind: Mapping[str, Any]) -> str:
    if "anyOf" in kind:
        return " or ".join(_type(one) for one in kind["anyOf"])
    if "$ref" in kind:
        return f"`{kind['$ref'].rpartition('/')[2]}`"
    if "enum" in kind:
        return ", ".join(f"`{value}`" for value in kind["enum"])
    if kind.get("type") == "array":
        return f"array of {_type(kind['items'])}" if "items" in kind else "array"
    if kind.get("format"):
        return f"{kind['type']} ({kind['format']})"
    return str(kind.get("type", "any"))

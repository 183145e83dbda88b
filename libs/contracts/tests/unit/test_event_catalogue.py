"""The catalogue of messages: stored schemas and samples, and what today's code writes and reads."""

import copy
import json
from typing import Any

import msgspec
import pytest
from catalogue.compatibility import breaks
from catalogue.document import DOCUMENT, SCHEMAS, document, schema_text
from catalogue.messages import MESSAGES, Message
from jsonschema import Draft202012Validator

by_name = pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)


def stored(message: Message) -> dict[str, Any]:
    """Return the schema as it was published."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{message.type_name}.json").read_text())
    return found


@by_name
def test_stored_sample_is_read(message: Message) -> None:
    """What a release wrote is read by today's struct, value for value."""
    sample = message.sample()
    read = msgspec.json.decode(sample, type=message.struct)
    assert json.loads(msgspec.json.encode(read)) == json.loads(sample)


@by_name
def test_todays_writer_fits_the_stored_schema(message: Message) -> None:
    """What today's struct writes is valid by the schema that was published."""
    written = msgspec.json.encode(msgspec.json.decode(message.sample(), type=message.struct))
    validator = Draft202012Validator(stored(message))
    assert not list(validator.iter_errors(json.loads(written)))


@by_name
def test_smallest_message_fits_both_ways(message: Message) -> None:
    """With nothing but what the stored schema requires a message is read, and written validly."""
    schema = stored(message)
    required = schema["$defs"][message.name].get("required", ())
    sample = json.loads(message.sample())
    least = {field: sample[field] for field in required}
    read = msgspec.json.decode(json.dumps(least), type=message.struct)
    written = json.loads(msgspec.json.encode(read))
    assert not list(Draft202012Validator(schema).iter_errors(written))


@by_name
def test_sample_shows_every_field(message: Message) -> None:
    """No field travels untested: the sample has them all, but the mark's and those at default."""
    fields = {field.encode_name for field in msgspec.structs.fields(message.struct)}
    absent = fields - json.loads(message.sample()).keys() - {"mark", "version", "leaving"}
    assert not absent


@by_name
def test_stored_schema_is_todays(message: Message) -> None:
    """`make docs` was run after the last change, and would not be refused."""
    path = SCHEMAS / f"{message.type_name}.json"
    assert path.read_text() == schema_text(message)
    assert breaks(stored(message), message.schema()) == []


def test_document_is_todays() -> None:
    """`make docs` was run after the last change."""
    assert DOCUMENT.read_text() == document()


def test_no_schema_is_left_over() -> None:
    """Every stored schema belongs to a message."""
    names = {path.stem for path in SCHEMAS.glob("*.json")}
    assert names == {message.type_name for message in MESSAGES}


def changed(edit: str) -> list[str]:
    """Return what a change of the receipt would break."""
    schema = next(message.schema() for message in MESSAGES if message.name == "Receipt")
    newer = copy.deepcopy(schema)
    receipt = newer["$defs"]["Receipt"]
    match edit:
        case "optional field":
            receipt["properties"]["cost"] = {"type": "number", "default": 0}
        case "required field":
            receipt["properties"]["cost"] = {"type": "number"}
            receipt["required"].append("cost")
        case "no longer required":
            receipt["required"].remove("id")
        case "removed":
            del receipt["properties"]["seq"]
        case "retyped":
            receipt["properties"]["seq"] = {"type": "string"}
        case "other enum":
            receipt["properties"]["stage"]["enum"].append("lost")
        case "default":
            receipt["properties"]["mode"]["default"] = "soft"
        case "part gone":
            del newer["$defs"]["Warmed"]
    return breaks(schema, newer)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ("optional field", []),
        ("default", []),
        ("required field", ["Receipt.cost is required now: older writers do not send it"]),
        ("no longer required", ["Receipt.id may be left out now: older readers want it"]),
        ("removed", ["Receipt.seq is gone: older readers want it"]),
        ("retyped", ["Receipt.seq has another type"]),
        ("other enum", ["Receipt.stage has another type"]),
        ("part gone", ["Warmed is gone"]),
    ],
)
def test_breaking_changes_are_named(edit: str, told: list[str]) -> None:
    """A change that an older or newer release could not live with is told; others are not."""
    assert changed(edit) == told

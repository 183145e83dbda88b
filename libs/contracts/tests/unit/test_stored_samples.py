import json
from pathlib import Path

import msgspec
import perfcheck_contracts
import pytest

SAMPLES = Path(__file__).with_name("samples")
NAMES = sorted(path.stem for path in SAMPLES.glob("*.json"))
BY_HAND = {"DayWrite": ("rates", "{}"), "InvalidationWrite": ("tags", '["a"]')}


@pytest.mark.parametrize("name", NAMES)
def test_stored_sample_survives(name: str) -> None:
    """A message as it was once sent is read, and written again with the same names and values."""
    message_type = getattr(perfcheck_contracts, name)
    stored = (SAMPLES / f"{name}.json").read_bytes()
    message = msgspec.json.decode(stored, type=message_type)
    assert json.loads(msgspec.json.encode(message)) == json.loads(stored)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in BY_HAND])
def test_unknown_fields_are_ignored(name: str) -> None:
    """A field that a newer sender added does not stop an older reader."""
    message_type = getattr(perfcheck_contracts, name)
    newer = {**json.loads((SAMPLES / f"{name}.json").read_bytes()), "added_later": 1}
    assert isinstance(msgspec.json.decode(json.dumps(newer), type=message_type), message_type)


@pytest.mark.parametrize("name", BY_HAND)
def test_unknown_field_of_a_write_is_refused(name: str) -> None:
    """People write these bodies by hand: a misspelt field must not be silently dropped."""
    field, value = BY_HAND[name]
    body = f'{{"{field}": {value}, "tag": 1}}'
    with pytest.raises(msgspec.ValidationError, match="unknown field `tag`"):
        msgspec.json.decode(body, type=getattr(perfcheck_contracts, name))


def test_every_message_has_a_sample() -> None:
    """Each struct that travels on its own has a stored sample; parts travel inside one."""
    parts = {
        "Applied",
        "CdnPurge",
        "CheckReport",
        "CurrencySummary",
        "DayRate",
        "DeadLetter",
        "FieldError",
        "Warmed",
        "WarmedPage",
        "YearCurrency",
    }
    structs = {
        name
        for name in perfcheck_contracts.__all__
        if isinstance(found := getattr(perfcheck_contracts, name), type)
        and issubclass(found, msgspec.Struct)
    }
    assert structs - parts == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_messages_cannot_be_changed(name: str) -> None:
    """A message is frozen and takes keywords only."""
    message_type = getattr(perfcheck_contracts, name)
    assert message_type.__struct_config__.frozen
    with pytest.raises(TypeError):
        message_type(1)

"""How a stream or consumer must be configured, as an allow-list; pure.

A field that nobody here asked for must be at the server's default: each of the server's newer
features (sources, transforms, pauses …) could change what a stream holds or a consumer hands out.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from asgi_isr.errors import IsrError

__all__ = ["UNLIMITED", "Demand", "LogConfigurationError", "equal", "flaws", "in_words"]

UNLIMITED: tuple[Any, ...] = (None, -1, 0)
# What the server gives where nothing was asked for; `{}` and `[]` are empty.
_DEFAULTS: tuple[Any, ...] = (*UNLIMITED, False, "", "none", "default")


class LogConfigurationError(IsrError):
    """A stream or consumer exists that must not be used as it is configured; says which fields."""


class Demand(NamedTuple):
    """What the value of `field` must be, in words and as a question."""

    field: str
    wanted: str
    met: Callable[[Any], bool]


def equal(field: str, value: Any) -> Demand:
    """Demand that `field` is `value`."""
    return Demand(field, in_words(value), lambda found: bool(found == value))


def flaws(
    config: Mapping[str, Any], demands: Sequence[Demand], *, free: Collection[str]
) -> dict[str, str]:
    """Return what is wrong in `config`, by field; fields in `free` may be anything."""
    found = {
        demand.field: f"{demand.field} is {in_words(value)}, must be {demand.wanted}"
        for demand in demands
        if not demand.met(value := config.get(demand.field))
    }
    known = {demand.field for demand in demands}.union(free)
    for field, value in config.items():
        empty = isinstance(value, list | dict) and not value
        if field not in known and not empty and value not in _DEFAULTS:
            found[field] = f"{field} is {in_words(value)}, must be left out"
    return found


def in_words(value: Any) -> str:
    """Return a value of JSON as a reader knows it."""
    if value is None:
        return "missing"
    return str(value).lower() if isinstance(value, bool) else str(value)

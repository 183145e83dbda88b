"""Cache directives of a response: `Cache-Control`, or the field that is meant for this cache."""

import re
from collections.abc import Iterable

from asgi_isr.http import dates
from asgi_isr.http import structured_fields as structured
from asgi_isr.http.fields import TARGETED, first, values
from asgi_isr.types import Headers

SECONDS_MAX = 2**31  # RFC 9111, section 1.2.2
# A member of the list, its name, and what follows: an argument, or what should not be there.
# Possessive, and with nothing before the name: time and memory are linear in the field.
_DIRECTIVE = re.compile(r'([^\s=,;"]++)((?:[^,"]++|"(?:[^"\\]++|\\.)*+"?)*+)')
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"')
_SECONDS = frozenset({"max-age", "s-maxage", "stale-if-error", "stale-while-revalidate"})


def cache_control(fields: Iterable[str]) -> dict[str, str]:
    """Parse `Cache-Control` into directive -> argument ('' for none).

    Names are lower-cased. Of a directive given twice the first counts (RFC 9111, section 4.2.1).
    What the grammar has no place for is left in the argument, so that `max-age = 5` is no number.
    """
    directives: dict[str, str] = {}
    for field in fields:
        for found in _DIRECTIVE.finditer(field):
            name, rest = found.groups()
            argument = rest.rstrip().removeprefix("=")
            quoted = _QUOTED.fullmatch(argument)
            directives.setdefault(name.lower(), quoted[1] if quoted else argument)
    return directives


def targeted(fields: Iterable[str]) -> dict[str, str] | None:
    """Parse `CDN-Cache-Control`, a dictionary (RFC 9213, section 2.1).

    None where it is absent, empty or broken, or an argument has the wrong type: then the field is
    ignored.
    """
    members = structured.dictionary(fields)
    if not members:
        return None
    directives: dict[str, str] = {}
    for name, value in members.items():
        if name in _SECONDS and type(value) is not int:  # no boolean or date
            return None
        if value is not False:
            directives[name] = "" if value is True else str(value)
    return directives


def _delta(text: str) -> float | None:
    """Return the seconds that `text` is (RFC 9111, section 1.2.2), None where it is no number."""
    if not (text.isascii() and text.isdecimal()):
        return None
    return float(min(int(text.lstrip("0")[:11] or "0"), SECONDS_MAX))


def seconds(directives: dict[str, str], name: str) -> float | None:
    """Return a directive's seconds, None where it is absent; not a number counts as 0 (stale)."""
    argument = directives.get(name)
    if argument is None:
        return None
    return _delta(argument) or 0.0


def of_response(headers: Headers) -> tuple[dict[str, str], bool]:
    """Return the directives that hold here, and whether they were addressed to this cache."""
    own = targeted(values(headers, TARGETED))
    if own is not None:
        return own, True
    return cache_control(values(headers, b"cache-control")), False


def age_s(headers: Headers) -> float:
    """Return the `Age` of a response: the first value where there are several, else 0.

    What is no number of seconds is ignored (RFC 9111, section 5.1).
    """
    value = (first(headers, b"age") or "").partition(",")[0].strip()
    return _delta(value) or 0.0


def date(headers: Headers, name: bytes) -> float | None:
    """Return the date in the field `name`, None where it is absent or broken."""
    value = first(headers, name)
    return dates.parse(value.strip()) if value is not None else None

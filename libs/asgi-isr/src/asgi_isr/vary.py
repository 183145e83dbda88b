"""Variants by request header fields: the secondary key of RFC 9111, section 4.1.

`Accept-Encoding` never takes part: the cache makes the codings itself and picks one for each
client. A page that varies stands under its key and a digest of the request's fields.
"""

import hashlib
import re
from collections.abc import Iterable

from asgi_isr.model import Headers

SEPARATOR = "\n"  # in no URL, so no key of a page has it
NAMES_MAX = 16
# Different for each user: a page of theirs is no use to others, and would crowd those out.
PERSONAL = frozenset({"authorization", "cookie"})

_MEMBERS = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_ANY = "*"


def names(fields: Iterable[str]) -> tuple[str, ...] | None:
    """Return the field names of `Vary`, sorted, in lower case; None where nothing ever matches."""
    members = {member.strip().lower() for field in fields for member in field.split(",")}
    members -= {"", "accept-encoding"}
    if _ANY in members or members & PERSONAL or len(members) > NAMES_MAX:
        return None
    return tuple(sorted(members))


def _languages(members: list[str]) -> list[str]:
    """Order languages as their weights do: equal ones have no order (RFC 9110, 12.5.4)."""
    weighed: list[tuple[float, str]] = []
    for member in members:
        language, _, weight = member.lower().partition(";")
        quality = weight.strip().removeprefix("q=")
        try:
            weighed.append((-float(quality or 1), language.strip()))
        except ValueError:
            return members
    return [f"{language};{weight}" for weight, language in sorted(weighed)]


def _normal(name: str, values: list[bytes]) -> str:
    """Give values of one meaning one form: lines joined, space around members removed."""
    joined = ",".join(value.decode("latin-1") for value in values)
    members = [member.strip() for member in _MEMBERS.findall(joined)]
    if name == "accept-language":
        members = _languages(members)
    return ",".join(filter(None, members))


def variant_key(key: str, vary: tuple[str, ...], headers: Headers) -> str:
    """Return the key of the variant of `key` that a request with these header fields selects."""
    if not vary:
        return key
    parts: list[str] = []
    for name in vary:
        wanted = name.encode("latin-1")
        values = [value for field, value in headers if field.lower() == wanted]
        parts.append(f"{name}:{_normal(name, values)}" if values else name)
    digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()
    return f"{key}{SEPARATOR}{digest}"


def primary(key: str) -> str:
    """Return the key without the part that tells variants apart."""
    return key.partition(SEPARATOR)[0]

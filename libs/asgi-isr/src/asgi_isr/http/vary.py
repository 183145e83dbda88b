"""Variants by request header fields: the secondary key of RFC 9111, section 4.1.

`Accept-Encoding` never takes part: the cache makes the codings itself and picks one for each
client. A page that varies stands under its key and a digest of the request's fields.
"""

import hashlib
import re
from collections.abc import Iterable

from asgi_isr.types import Headers

# In no key of a page: the path of a key has no "?", and a query no line feed.
SEPARATOR = "?\n"
FIELDS_VARIED_MAX = 16
NORMAL_CHARS_MAX = 4096  # longer values are compared as they are
# Different for each user: a page of theirs is no use to others, and would crowd those out.
PERSONAL = frozenset({"authorization", "cookie"})

_NAME = re.compile(r"[a-z0-9!#$%&'*+\-.^_`|~]+")  # RFC 9110, section 5.1
# Possessive: what a member has taken it never gives back, so that time and memory are linear.
_MEMBERS = re.compile(r'(?:[^,"]++|"(?:[^"\\]++|\\.)*+"?)++')
_WEIGHT = re.compile(r"[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")
_OWS = " \t"
_ANY = "*"


def names(fields: Iterable[str]) -> tuple[str, ...] | None:
    """Return the field names of `Vary`, sorted, in lower case; None where nothing ever matches.

    A member that is no field name counts as `*`: it may be two of them, written badly.
    """
    members = {member.strip(_OWS).lower() for field in fields for member in field.split(",")}
    members -= {"", "accept-encoding"}
    if _ANY in members or members & PERSONAL or len(members) > FIELDS_VARIED_MAX:
        return None
    if not all(map(_NAME.fullmatch, members)):
        return None
    return tuple(sorted(members))


def _languages(members: list[str]) -> list[str]:
    """Order languages as their weights do: equal ones have no order (RFC 9110, 12.5.4)."""
    weighed: list[tuple[float, str]] = []
    for member in members:
        language, separator, parameter = member.lower().partition(";")
        weight = _WEIGHT.fullmatch(parameter) if separator else None
        if separator and weight is None:
            return members
        weighed.append((-float(weight[1]) if weight else -1.0, language.strip(_OWS)))
    return [f"{language};{weight}" for weight, language in sorted(weighed)]


def _normal(name: str, values: list[bytes]) -> str:
    """Give values of one meaning one form: lines joined, space around members removed."""
    joined = ",".join(value.decode("latin-1") for value in values)
    if len(joined) > NORMAL_CHARS_MAX:
        return joined
    members = [*filter(None, (member.strip(_OWS) for member in _MEMBERS.findall(joined)))]
    if name == "accept-language":
        members = _languages(members)
    return ",".join(members)


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

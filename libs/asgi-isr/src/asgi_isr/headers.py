"""Pure functions over header fields: Cache-Control, validators, Cache-Status."""

import re
from collections.abc import Iterable

from asgi_isr.model import Headers

_DIRECTIVE = re.compile(r'\s*([^\s=,;]+)\s*(?:=\s*(?:"([^"]*)"|([^\s,]*)))?\s*(?:,|$)')
SECONDS_MAX = 2**31  # RFC 9111, section 1.2.2

# Hop-by-hop fields (RFC 9110, section 7.6.1), what is made anew for each answer, and what was
# addressed to this cache alone.
_NOT_STORED = frozenset(
    {
        b"age",
        b"cache-status",
        b"cdn-cache-control",
        b"connection",
        b"content-length",
        b"date",
        b"etag",
        b"keep-alive",
        b"proxy-connection",
        b"server",
        b"server-timing",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


def values(headers: Headers, name: bytes) -> list[str]:
    """Return every value of the field `name` (lower case)."""
    return [value.decode("latin-1") for field, value in headers if field.lower() == name]


def cache_control(fields: Iterable[str]) -> dict[str, str]:
    """Parse `Cache-Control` or a targeted field into directive -> argument ('' for none).

    Names are lower-cased. Of a directive given twice the first counts (RFC 9111, section 4.2.1).
    """
    directives: dict[str, str] = {}
    for field in fields:
        for match in _DIRECTIVE.finditer(field):
            name, quoted, token = match.groups()
            directives.setdefault(name.lower(), quoted if quoted is not None else token or "")
    return directives


def seconds(directives: dict[str, str], name: str) -> float | None:
    """Return a directive's seconds, None where it is absent; not a number counts as 0 (stale)."""
    argument = directives.get(name)
    if argument is None:
        return None
    return float(min(int(argument), SECONDS_MAX)) if argument.isdecimal() else 0.0


def stored_headers(headers: Headers) -> Headers:
    """Return the fields of a response that are kept with it, names in lower case."""
    connection = {token.strip().lower().encode() for field in values(headers, b"connection")
                  for token in field.split(",")}  # fmt: skip
    dropped = _NOT_STORED | connection
    return [(name.lower(), value) for name, value in headers if name.lower() not in dropped]


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Compare weakly, as `If-None-Match` asks for (RFC 9110, section 13.1.2)."""
    if if_none_match == etag:
        return True
    if if_none_match.strip() == b"*":
        return True
    wanted = etag.removeprefix(b"W/")
    return any(
        candidate.strip().removeprefix(b"W/") == wanted for candidate in if_none_match.split(b",")
    )


def accepts_gzip(accept_encoding: bytes) -> bool:
    """Say whether the field allows gzip: named, and not with weight 0 (RFC 9110, 12.5.3)."""
    for member in accept_encoding.split(b","):
        coding, _, weight = member.partition(b";")
        if coding.strip().lower() in {b"gzip", b"x-gzip"}:
            _, _, quality = weight.partition(b"=")
            return bool(quality.strip(b" \t0.")) or not quality
    return False


def cache_status(name: str, *parts: str) -> tuple[bytes, bytes]:
    """Return a `Cache-Status` field (RFC 9211); `fence` is an extension parameter of ours."""
    return (b"cache-status", "; ".join((name, *parts)).encode("latin-1"))

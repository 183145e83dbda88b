"""Pure functions over header fields: lists, what is stored, what a 304 carries, Cache-Status."""

import re
from collections.abc import Iterable

from asgi_isr.types import Headers

CACHE_TAG = b"cache-tag"
CACHE_ORIGIN = b"cache-origin"
LAST_MODIFIED = b"last-modified"
TARGETED = b"cdn-cache-control"  # RFC 9213
NO_STORE = (b"cache-control", b"no-store")
_FOR_ONE_CLIENT = (b"cache-control", b"private, no-cache")
LIFETIMES = (b"cache-control", TARGETED, b"expires")
# Fields of one connection (RFC 9110, section 7.6.1), and those that older software treats as such.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Those are not stored (RFC 9111, section 3.1), nor is what is made for each answer.
_NOT_STORED = HOP_BY_HOP | {
    b"age",
    b"cache-status",
    CACHE_ORIGIN,
    b"content-length",
    b"etag",
    b"server-timing",
}
_OPAQUE_TAG = re.compile(rb'"[^"]*"')  # it may hold commas (RFC 9110, section 8.8.3)
# What a 304 says of these concerns itself, or the body that it does not bring (RFC 9111, 3.2).
_OF_THE_BODY = frozenset({b"content-encoding", b"content-md5", b"content-range", b"vary"})


def values(headers: Headers, name: bytes) -> list[str]:
    """Return every value of the field `name` (lower case)."""
    return [value.decode("latin-1") for field, value in headers if field.lower() == name]


def members(headers: Headers, name: bytes) -> list[str]:
    """Return the members of every field `name`, a comma-separated list (RFC 9110, 5.6.1)."""
    listed = (part.strip() for field in values(headers, name) for part in field.split(","))
    return [member for member in listed if member]


def first(headers: Headers, name: bytes) -> str | None:
    """Return the first value of the field `name`, None where there is none."""
    return next(iter(values(headers, name)), None)


def without(headers: Headers, *names: bytes) -> Headers:
    """Return the fields that have none of `names`, all in lower case."""
    return [field for field in headers if field[0] not in names]


def origins(headers: Headers) -> dict[str, str]:
    """Return what `Cache-Origin` says that a response was made from, by source.

    One source with two origins was none that anybody can know.
    """
    found: dict[str, str] = {}
    for member in members(headers, CACHE_ORIGIN):
        source, _, origin = member.partition("=")
        found[source] = origin if found.get(source, origin) == origin else ""
    return found


def stored_headers(headers: Headers) -> Headers:
    """Return the fields of a response that are kept with it, names in lower case."""
    nominated = {token.lower().encode("latin-1") for token in members(headers, b"connection")}
    dropped = _NOT_STORED | nominated
    kept = ((name.lower(), value) for name, value in headers)
    return [field for field in kept if field[0] not in dropped]


def updated_headers(stored: Headers, answered: Headers) -> Headers:
    """Return the fields of a stored response after a 304 confirmed it (RFC 9111, section 3.2)."""
    fresh = [field for field in stored_headers(answered) if field[0] not in _OF_THE_BODY]
    renewed = {name for name, _ in fresh}
    return [field for field in stored if field[0] not in renewed] + fresh


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Compare weakly, as `If-None-Match` asks for (RFC 9110, section 13.1.2)."""
    if if_none_match == etag:
        return True
    if if_none_match.strip() == b"*":
        return True
    wanted = etag.removeprefix(b"W/")
    return any(found[0] == wanted for found in _OPAQUE_TAG.finditer(if_none_match))


def for_one_client(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the fields of an answer that no cache between this one and the client may keep.

    The client's own may, if it asks each time. A CDN obeys `CDN-Cache-Control` (RFC 9213) or, where
    it does not know that one, `private` (RFC 9111, section 5.2.2.7).
    """
    named = [(bytes(name).lower(), bytes(value)) for name, value in headers]
    given = ",".join(values(named, b"cache-control")).lower()
    lifetime = NO_STORE if "no-store" in given else _FOR_ONE_CLIENT
    return [*without(named, *LIFETIMES), lifetime, (TARGETED, b"no-store")]


def cache_status(name: str, *parts: str) -> tuple[bytes, bytes]:
    """Return a `Cache-Status` field (RFC 9211); `fence` is an extension parameter of ours."""
    return (b"cache-status", "; ".join((name, *parts)).encode("latin-1"))

"""Pure rules: which header fields cross the proxy, and what it adds to them.

RFC 9110, section 7.6 (message forwarding). Names are lower case, as ASGI has them; order and
repeated fields are kept.
"""

import re
from collections.abc import Iterable

from asgi_isr.http.fields import CACHE_TAG, HOP_BY_HOP, TARGETED
from asgi_isr.types import Headers

# Meant for all recipients, so no connection option (RFC 9110, section 7.6.1): were they dropped
# because `Connection` names them, framing, routing or the cache would judge by something else.
_FOR_ALL = frozenset(
    {
        b"age",
        b"authorization",
        b"cache-control",
        CACHE_TAG,
        TARGETED,
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expires",
        b"host",
        b"range",
        b"set-cookie",
        b"vary",
    }
)
_LOOP_MAX = 4  # our own name so often in `Via` is a loop, not tiers of caches
_PEER = re.compile(rb"[0-9a-fA-F:.]+")


def listed(headers: Headers, name: bytes) -> list[bytes]:
    """Return the members of every field `name`, a comma-separated list (RFC 9110, 5.6.1)."""
    values = [value for field, value in headers if field == name]
    if not values:  # mostly; this is on the way of every hit
        return values
    members = (part.strip() for value in values for part in value.split(b","))
    return [member for member in members if member]


def end_to_end(headers: Headers) -> Headers:
    """Return the fields that are meant for more than this connection."""
    named = {option.lower() for option in listed(headers, b"connection")} - _FOR_ALL
    dropped = HOP_BY_HOP | named
    return [field for field in headers if field[0] not in dropped]


def request_fields(
    headers: Headers, *, name: str, version: str, scheme: str, client: str, method: str,
    trusted: bool,
) -> Headers:  # fmt: skip
    """Return the fields of a request as the upstream, and before it the cache, shall see them.

    `Transfer-Encoding: chunked` stays: it says that there is a body. What the client claims about
    itself (`Forwarded`, `X-Forwarded-*`) goes unless `trusted`; then its lists are appended to.
    So does any field with `_` in its name, which many upstreams cannot tell from one with `-`
    (CGI, WSGI): it would reach them past these rules, and past `Vary`.
    """
    chunked = [field for field in headers if field[0] == b"transfer-encoding"]
    fields = [*(field for field in end_to_end(headers) if b"_" not in field[0]), *chunked]
    if not trusted:
        fields = [
            field
            for field in fields
            if field[0] != b"forwarded" and not field[0].startswith(b"x-forwarded-")
        ]
    if method in {"TRACE", "OPTIONS"}:
        fields = [_one_hop_less(field) for field in fields]
    return [
        *_forwarded(fields, host=_last(headers, b"host"), scheme=scheme, client=client),
        _via(name, version),
    ]


def response_fields(headers: Headers, *, name: str, version: str, status: int) -> Headers:
    """Return the fields of a response of the upstream as cache and client shall see them."""
    fields = end_to_end(headers)
    if status == 204:  # noqa: PLR2004  No Content has no length (RFC 9110, section 8.6)
        fields = [field for field in fields if field[0] != b"content-length"]
    return [*fields, _via(name, version)]


def loops(headers: Headers, name: str) -> bool:
    """Say whether the request has come through a proxy of this name too often."""
    pseudonym = name.encode()
    hops = (hop.split() for hop in listed(headers, b"via"))
    return sum(len(hop) > 1 and hop[1] == pseudonym for hop in hops) >= _LOOP_MAX


def claimed_scheme(headers: Headers) -> str:
    """Return the scheme of `X-Forwarded-Proto`, a part of the page's key; empty if it has none."""
    value = _last(headers, b"x-forwarded-proto").strip().lower()
    return value.decode() if value in {b"http", b"https"} else ""


def max_forwards(headers: Headers) -> int | None:
    """Return `Max-Forwards` (RFC 9110, section 7.6.2), None where it is absent or no number."""
    value = _last(headers, b"max-forwards")
    return int(value) if value.isdigit() and len(value) < 10 else None  # noqa: PLR2004  digits


def _one_hop_less(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    hops = max_forwards([field]) if field[0] == b"max-forwards" else None
    return (field[0], str(max(0, hops - 1)).encode()) if hops is not None else field


def _forwarded(fields: Headers, *, host: bytes, scheme: str, client: str) -> Headers:
    """Append the client to `X-Forwarded-For`; say its scheme and host where nobody has."""
    peer = client.encode("latin-1")
    chain = [*listed(fields, b"x-forwarded-for"), *([peer] if _PEER.fullmatch(peer) else [])]
    names = {field for field, _ in fields}
    kept = [field for field in fields if field[0] != b"x-forwarded-for"]
    if chain:
        kept.append((b"x-forwarded-for", b", ".join(chain)))
    if b"x-forwarded-proto" not in names:
        kept.append((b"x-forwarded-proto", scheme.encode()))
    if host and b"x-forwarded-host" not in names:
        kept.append((b"x-forwarded-host", host))
    return kept


def _via(name: str, version: str) -> tuple[bytes, bytes]:
    # ASGI writes HTTP/1.0 as "1".
    return (b"via", f"{'1.0' if version == '1' else version} {name}".encode())


def _last(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    value = b""
    for field, given in headers:
        if field == name:
            value = given
    return value

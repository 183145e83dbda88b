"""Pure decisions: may a response be stored, for how long, and what may be done with a page now.

RFC 9111 (shared cache), RFC 9213 (`CDN-Cache-Control`), RFC 5861 (stale-while-revalidate and
stale-if-error).
"""

from enum import Enum
from typing import NamedTuple

from asgi_isr.headers import cache_control, seconds, values
from asgi_isr.keys import PAGE_TAGS_MAX, tag_problem
from asgi_isr.model import Headers

# Final statuses that this cache understands and stores when the response says for how long.
STORABLE_STATUS = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
ERROR_STATUS = frozenset({500, 502, 503, 504})  # RFC 5861, section 4


class Storing(NamedTuple):
    """For how long a response is kept, and which tags it named; all times in seconds."""

    ttl_s: float
    swr_s: float
    sie_s: float
    tags: tuple[str, ...]


class Use(Enum):
    """What may be done with a page that an instance holds."""

    FRESH = "fresh"
    REVALIDATE = "stale-while-revalidate"  # serve it, refresh it in the background
    ON_ERROR = "stale-if-error"  # render; serve it only if that fails
    NONE = "unusable"


def _listed(headers: Headers, name: bytes) -> list[str]:
    """Return the members of every field `name`, a comma-separated list (RFC 9110, 5.6.1)."""
    members = (part.strip() for field in values(headers, name) for part in field.split(","))
    return [member for member in members if member]


def storing(status: int, headers: Headers) -> Storing | str:
    """Decide on a response to a GET: how to store it, or why not (RFC 9111, section 3)."""
    if status not in STORABLE_STATUS:
        return f"status {status}"
    if values(headers, b"set-cookie"):
        return "Set-Cookie"
    if any(name.lower() != "accept-encoding" for name in _listed(headers, b"vary")):
        return "Vary"
    targeted = cache_control(values(headers, b"cdn-cache-control"))
    directives = targeted or cache_control(values(headers, b"cache-control"))
    for directive in ("no-store", "private", "no-cache"):
        if directive in directives:
            return directive
    ttl_s = seconds(directives, "s-maxage")
    if ttl_s is None:
        ttl_s = seconds(directives, "max-age")
    if not ttl_s:
        return "no lifetime"
    tags = tuple(_listed(headers, b"cache-tag"))
    if len(tags) > PAGE_TAGS_MAX:
        return f"more than {PAGE_TAGS_MAX} tags"
    if any(tag_problem(tag) for tag in tags):
        return "invalid tag"
    strict = "must-revalidate" in directives or "proxy-revalidate" in directives
    return Storing(
        ttl_s=ttl_s,
        swr_s=0.0 if strict else seconds(directives, "stale-while-revalidate") or 0.0,
        sie_s=0.0 if strict else seconds(directives, "stale-if-error") or 0.0,
        tags=tags,
    )


def use(
    *, now: float, created: float, expires: float, soft_since: float | None, lease_until: float,
    swr_s: float, sie_s: float,
) -> Use:  # fmt: skip
    """Say what may be done with a page that no hard invalidation speaks against.

    All times are on one monotonic clock. A page is stale from the first moment that its lifetime
    ended, a soft invalidation came or the lease ran out; a page rendered while there was no lease
    is stale since it was rendered.
    """
    since = now
    stale = False
    if now >= expires:
        stale, since = True, min(since, expires)
    if soft_since is not None:
        stale, since = True, min(since, soft_since)
    if now >= lease_until:
        stale, since = True, min(since, max(lease_until, created))
    if not stale:
        return Use.FRESH
    if now - since < swr_s:
        return Use.REVALIDATE
    return Use.ON_ERROR if now - since < sie_s else Use.NONE

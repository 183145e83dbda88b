"""Pure decisions: may a response be stored, for how long, and what may be done with a page now.

RFC 9111 (shared cache), RFC 9213 (`CDN-Cache-Control`), RFC 5861 (stale-while-revalidate and
stale-if-error).
"""

from enum import Enum
from typing import NamedTuple

from asgi_isr.http import groups, vary
from asgi_isr.http.cache_control import age_s, date, of_response, seconds
from asgi_isr.http.fields import CACHE_TAG, LAST_MODIFIED, first, members, values
from asgi_isr.keys import PAGE_TAGS_MAX, tag_problem
from asgi_isr.types import Headers

NOT_MODIFIED = 304
# Parts of a response, and what must not be stored (RFC 6585).
_NEVER = frozenset({*range(100, 200), 206, NOT_MODIFIED, 428, 429, 431, 511})
# These say what was wrong with one request, in fields or content that no key holds: kept, they
# would let a client put an error in the place of a page.
_OF_THE_REQUEST = frozenset({400, 408, 411, 413, 415, 417, 421, 422, 425, 426})
# These say how the server is, not what the page is: 501 is a statement on the resource.
_FAILURES = frozenset(range(500, 600)) - {501}
_UNASKED = _OF_THE_REQUEST | _FAILURES  # stored with the setting `store_errors` alone
ERROR_STATUS = frozenset({500, 502, 503, 504})  # RFC 5861, section 4
# Statuses that may be kept without an explicit lifetime (RFC 9110, section 15.1).
_HEURISTIC = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
# Those that this cache knows all about, which is what `must-understand` asks for (5.2.2.3).
_UNDERSTOOD = _HEURISTIC | {302, 303, 307, 400, 403, 500, 502, 503, 504}
_HEURISTIC_SHARE = 0.1  # of the time since the last modification (RFC 9111, section 4.2.2)
_HEURISTIC_S_MAX = 86_400.0
VALIDATABLE_S = 3600.0  # how long a page is kept after its last use, for its validators alone


class Storing(NamedTuple):
    """For how long a response is kept, and which tags it named; all times in seconds.

    `age_s` is its age when it was received. `vary` names request fields that selected it; with
    `validate` each use asks the app first; `public` ones also answer requests with credentials.
    """

    ttl_s: float
    swr_s: float
    sie_s: float
    tags: tuple[str, ...]
    age_s: float = 0.0
    vary: tuple[str, ...] = ()
    validate: bool = False
    public: bool = False


class NotStored(NamedTuple):
    """Why a response is not stored, in the words of its source."""

    reason: str


class Circumstances(NamedTuple):
    """What the decision to store depends on besides the response itself.

    `received` is in seconds since 1970, `delay_s` since the request was sent; `origin` is scheme
    and host, where pages depend on them. The last three are the settings of those names.
    """

    received: float
    delay_s: float = 0.0
    origin: str = ""
    authorized: bool = False
    guess_freshness: bool = False
    store_set_cookie: bool = False
    store_errors: bool = False


class Use(Enum):
    """What may be done with a page that an instance holds."""

    FRESH = "fresh"
    REVALIDATE = "stale-while-revalidate"  # serve it, refresh it in the background
    ON_ERROR = "stale-if-error"  # render; serve it only if that fails
    VALIDATE = "validate"  # ask the app whether it still holds; serve it if so
    NONE = "unusable"


def initial_age_s(headers: Headers, at: Circumstances) -> float:
    """Return the corrected initial age (RFC 9111, section 4.2.3)."""
    made = date(headers, b"date")
    apparent_s = max(0.0, at.received - made) if made is not None else 0.0
    # A date has whole seconds: what is younger than that is no sign of age.
    return max(apparent_s if apparent_s >= 1 else 0.0, age_s(headers) + at.delay_s)


def _expires_s(headers: Headers, received: float) -> float | None:
    """Return the lifetime that `Expires` gives; a broken date is in the past (section 5.3)."""
    if first(headers, b"expires") is None:
        return None
    expires = date(headers, b"expires")
    made = date(headers, b"date")
    if expires is None:
        return 0.0
    return max(0.0, expires - (made if made is not None else received))


def _guessed_s(status: int, headers: Headers, at: Circumstances, *, public: bool) -> float | None:
    """Return a lifetime for a response that names none (section 4.2.2)."""
    modified = date(headers, LAST_MODIFIED)
    if not at.guess_freshness or modified is None or not (public or status in _HEURISTIC):
        return None
    made = date(headers, b"date")
    since_s = (made if made is not None else at.received) - modified
    return max(0.0, min(_HEURISTIC_S_MAX, since_s * _HEURISTIC_SHARE))


def _forbidden(
    status: int, headers: Headers, directives: dict[str, str], at: Circumstances
) -> NotStored | None:
    """Say what forbids storing it, whatever the lifetime; None when nothing does."""
    if status in _NEVER or (status in _UNASKED and not at.store_errors):
        return NotStored(f"status {status}")
    if "must-understand" in directives:
        if status not in _UNDERSTOOD:
            return NotStored("must-understand")
    elif "no-store" in directives:
        return NotStored("no-store")
    if "private" in directives:
        return NotStored("private")
    if values(headers, b"set-cookie") and not at.store_set_cookie:
        return NotStored("Set-Cookie")
    shared = {"public", "s-maxage", "must-revalidate"} & directives.keys()
    return NotStored("Authorization") if at.authorized and not shared else None


def _tags(headers: Headers, origin: str) -> tuple[str, ...] | NotStored:
    tags = tuple(members(headers, CACHE_TAG))
    if len(tags) > PAGE_TAGS_MAX:
        return NotStored(f"more than {PAGE_TAGS_MAX} tags")
    if any(tag_problem(tag) for tag in tags):
        return NotStored("invalid tag")
    grouped = groups.of_response(headers, origin)
    return NotStored("too many groups") if grouped is None else tags + grouped


def storing(status: int, headers: Headers, at: Circumstances) -> Storing | NotStored:
    """Decide on a response to a GET: how to store it, or why not (RFC 9111, section 3)."""
    directives, addressed = of_response(headers)
    forbidden = _forbidden(status, headers, directives, at)
    if forbidden is not None:
        return forbidden
    varying = vary.names(values(headers, b"vary"))
    if varying is None:
        return NotStored("Vary")
    public = bool({"public", "s-maxage", "must-revalidate"} & directives.keys())
    given = (seconds(directives, "s-maxage"), seconds(directives, "max-age"))
    ttl_s = next((value for value in given if value is not None), None)
    if ttl_s is None and not addressed:
        ttl_s = _expires_s(headers, at.received)
        if ttl_s is None:
            ttl_s = _guessed_s(status, headers, at, public="public" in directives)
    validate = "no-cache" in directives
    strict = validate or "must-revalidate" in directives or "proxy-revalidate" in directives
    swr_s = 0.0 if strict else seconds(directives, "stale-while-revalidate") or 0.0
    sie_s = 0.0 if strict else seconds(directives, "stale-if-error") or 0.0
    # No lifetime at all is no wish to be stored; of one that is over at once the page is still of
    # use where it can be served stale, or asked for again more cheaply.
    age = initial_age_s(headers, at)
    lives = ttl_s is not None and ttl_s > age and not validate
    can_be_asked = any(name in {b"etag", LAST_MODIFIED} for name in _names(headers))
    asked = can_be_asked and (validate or ttl_s is not None)
    if not (lives or asked or (ttl_s is not None and max(swr_s, sie_s) > 0)):
        return NotStored("no-cache" if validate else "no lifetime")
    tags = _tags(headers, at.origin)
    if isinstance(tags, NotStored):
        return tags
    return Storing(
        ttl_s=0.0 if validate else ttl_s or 0.0,
        swr_s=swr_s,
        sie_s=sie_s,
        tags=tags,
        age_s=age,
        vary=varying,
        validate=validate or (not lives and swr_s == 0),
        public=public,
    )


def _names(headers: Headers) -> set[bytes]:
    return {name.lower() for name, _ in headers}


def use(
    *, now: float, created: float, expires: float, soft_since: float | None, lease_until: float,
    swr_s: float, sie_s: float, validatable: bool = False,
) -> Use:  # fmt: skip
    """Say what may be done with a page that was not invalidated (hard).

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
    if now - since < sie_s:
        return Use.ON_ERROR
    kept_s = max(swr_s, sie_s) + VALIDATABLE_S
    return Use.VALIDATE if validatable and now - since < kept_s else Use.NONE

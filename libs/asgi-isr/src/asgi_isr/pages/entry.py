"""A page that an instance holds: its times, its codings, and the fields of its hits."""

from collections.abc import Iterable

from asgi_isr.http import dates
from asgi_isr.http.codings import IDENTITY
from asgi_isr.http.fields import LAST_MODIFIED, TARGETED, cache_status, matches
from asgi_isr.http.policy import Use, use
from asgi_isr.pages.page import Page
from asgi_isr.types import Headers

READY_MAX = 1024
_NO_FIELDS: Headers = []
_OF_A_BODY = frozenset({b"content-encoding", b"content-length", b"content-type"})
_OK, _NO_CONTENT, _MULTIPLE_CHOICES = 200, 204, 300


class Variant:
    """One coding of a page, and the fields of its hits.

    Those carry `Age` and the time left, so they are good for one second and made again by the first
    hit of the next. Each client gets a copy in a message of its own: what stands around this cache
    may write into it (a cookie, another coding).
    """

    __slots__ = ("_coding", "_not_modified", "_page", "body", "etag", "fields", "second",
                 "status")  # fmt: skip

    def __init__(self, page: Page, coding: str) -> None:
        self._page = page
        self._coding = coding
        self.body = page.bodies[coding]
        self.etag = coded_etag(page.etag, coding)
        self.status = page.status
        self.clear()

    def clear(self) -> None:
        """Forget the fields that were made for a second."""
        self.second = -1
        self.fields: Headers = _NO_FIELDS
        self._not_modified: Headers | None = None

    def headers(self, *, targeted: bool = False) -> Headers:
        """Return the fields of an answer but for those that change with time.

        `targeted` keeps `CDN-Cache-Control`, which was addressed to this cache.
        """
        headers = [field for field in self._page.headers if targeted or field[0] != TARGETED]
        headers.append((b"etag", self.etag))
        if self.status != _NO_CONTENT:  # which has no length (RFC 9110, 8.6)
            headers.append((b"content-length", str(len(self.body)).encode()))
        if self._coding:
            headers.append((b"content-encoding", self._coding.encode()))
        return headers

    def prepare(
        self, second: int, age: int, status: tuple[bytes, bytes], *, targeted: bool
    ) -> None:
        """Make the fields for hits within `second`."""
        self.fields = self.headers(targeted=targeted)
        self.fields += ((b"age", str(max(0, age)).encode()), status)
        self._not_modified = None
        self.second = second

    def fields_not_modified(self) -> Headers:
        """Return a copy of the fields of a 304 within the second."""
        if self._not_modified is None:
            self._not_modified = not_modified_headers(self.fields)
        return self._not_modified.copy()

    def confirms(self, if_none_match: bytes | None, if_modified_since: bytes | None) -> bool:
        """Say whether 304 answers these preconditions: for a 2xx alone (RFC 9110, 13.2).

        `If-Modified-Since` counts only without `If-None-Match` (RFC 9111, section 4.3.2).
        """
        if not _OK <= self.status < _MULTIPLE_CHOICES:
            return False
        if if_none_match is not None:
            return matches(if_none_match, self.etag)
        if if_modified_since is None:
            return False
        since = dates.parse(if_modified_since.decode("latin-1").strip())
        modified = self.last_modified()
        return since is not None and modified is not None and modified <= since

    def last_modified(self) -> float | None:
        """Return when the page was last modified, in seconds since 1970."""
        for name, value in self._page.headers:
            if name == LAST_MODIFIED:
                return dates.parse(value.decode("latin-1").strip())
        return None


def coded_etag(etag: bytes, coding: str) -> bytes:
    """Return the validator of a coding: each has its own (RFC 9110, section 8.8.3.3)."""
    return etag[:-1] + b"-" + coding.encode() + b'"' if coding else etag


def not_modified_headers(headers: Headers) -> Headers:
    """Keep what a 304 carries: all but the fields that describe a body (RFC 9110, 15.4.5)."""
    return [field for field in headers if field[0] not in _OF_A_BODY]


class Ready:
    """The variants with fields made for this second, at most `READY_MAX` of them.

    Thousands of pages are held, few are asked for at any time: the fields of the others would
    weigh as much as a compressed body.
    """

    def __init__(self) -> None:
        self._ring: list[Variant | None] = [None] * READY_MAX
        self._at = 0

    def add(self, variant: Variant) -> None:
        """Note that `variant` has fields now; take those of the one noted longest ago."""
        oldest = self._ring[self._at]
        if oldest is not None and oldest is not variant:
            oldest.clear()
        self._ring[self._at] = variant
        self._at = (self._at + 1) % READY_MAX


class Entry:
    """A page in this process with its times on this process's monotonic clock, in seconds.

    `judged_at` and `good_at` belong to whoever holds it: when it was last judged by the index, and
    when as not invalidated at all.
    """

    __slots__ = ("_coded", "created", "expires", "fence", "good_at", "hits", "identity",
                 "judged_at", "page", "public", "size", "soft_since", "used")  # fmt: skip

    def __init__(self, page: Page, *, now: float, wall: float) -> None:
        self.page = page
        self.fence = page.fence
        self.public = page.public
        self.size = page.size
        self.created = now - max(0.0, wall - page.created)
        self.expires = self.created + page.ttl_s
        self.soft_since: float | None = None
        self.judged_at = self.good_at = -1
        self.used = False
        self.hits = 0
        self.identity = Variant(page, IDENTITY)
        self._coded: dict[str, Variant] = {}  # made when first asked for

    def use(self, now: float, lease_until: float) -> Use:
        """Say what may be done with this page now."""
        return use(
            now=now,
            created=self.created,
            expires=self.expires,
            soft_since=self.soft_since,
            lease_until=lease_until,
            swr_s=self.page.swr_s,
            sie_s=self.page.sie_s,
            validatable=bool(self.page.validators),
        )

    def variant(self, codings: Iterable[str]) -> Variant:
        """Return the first of `codings` that the page has, else the page as it is."""
        for coding in codings:
            found = self._coded.get(coding)
            if found is None and coding in self.page.bodies:
                found = self._coded[coding] = Variant(self.page, coding)
            if found is not None:
                return found
        return self.identity

    def answer(
        self, *, codings: Iterable[str], now: float, name: str, ready: Ready,
        targeted: bool = False,
    ) -> Variant:  # fmt: skip
        """Return the variant that answers a hit, with its fields made for this second."""
        self.used = True
        self.hits += 1
        variant = self.variant(codings) if codings else self.identity
        second = int(now)
        if variant.second != second:
            status = cache_status(
                name,
                "hit",
                f"ttl={int(self.expires - now)}",
                "detail=local",
                f"fence={self.fence}",
            )
            if variant.second < 0:
                ready.add(variant)
            variant.prepare(second, int(now - self.created), status, targeted=targeted)
        return variant

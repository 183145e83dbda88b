"""Pages in this process: bounded by bytes, found by key, marked by tag through a reverse index."""

from collections.abc import Collection

from asgi_isr.headers import cache_status, matches
from asgi_isr.keys import EVERYTHING
from asgi_isr.model import GZIP, IDENTITY, Headers, Page
from asgi_isr.policy import Use, use


class Variant:
    """One coding of a page with its ready-made ASGI messages.

    The fields of hits carry `Age` and the time left, so they are good for one second and made anew
    by the first hit of the next. Each client gets a copy in a message of its own: what stands
    around this cache may write into it (a cookie, another coding).
    """

    __slots__ = ("body", "etag", "fields", "fields_not_modified", "headers", "second", "status")

    def __init__(self, page: Page, coding: str) -> None:
        body = page.bodies[coding]
        suffix = b"-" + coding.encode() if coding else b""
        self.etag = b'"' + page.etag + suffix + b'"'
        self.headers: Headers = [*page.headers, (b"etag", self.etag)]
        if page.status != 204:  # noqa: PLR2004  No Content has none (RFC 9110, 8.6)
            self.headers.append((b"content-length", str(len(body)).encode()))
        if coding:
            self.headers.append((b"content-encoding", coding.encode()))
        self.status = page.status
        self.body = body
        self.second = -1
        self.fields: Headers = []
        self.fields_not_modified: Headers = []

    def prepare(self, second: int, age: int, status: tuple[bytes, bytes]) -> None:
        """Make the fields for hits within `second`."""
        dynamic = [(b"age", str(max(0, age)).encode()), status]
        self.fields = [*self.headers, *dynamic]
        self.fields_not_modified = [*not_modified_headers(self.headers), *dynamic]
        self.second = second

    def confirms(self, if_none_match: bytes) -> bool:
        """Say whether 304 answers this precondition: for a 2xx alone (RFC 9110, 13.2.1)."""
        return self.status < 300 and matches(if_none_match, self.etag)  # noqa: PLR2004  not 2xx


def not_modified_headers(headers: Headers) -> Headers:
    """Keep what a 304 carries: all but the fields that describe a body (RFC 9110, 15.4.5)."""
    return [
        (name, value)
        for name, value in headers
        if name not in {b"content-length", b"content-encoding", b"content-type"}
    ]


class Entry:
    """A page in this process with its times on this process's monotonic clock, in seconds."""

    __slots__ = ("created", "expires", "fence", "gzip", "identity", "page", "size", "soft_since",
                 "used")  # fmt: skip

    def __init__(self, page: Page, *, now: float, wall: float) -> None:
        self.page = page
        self.fence = page.fence
        self.size = page.size
        self.created = now - max(0.0, wall - page.created)
        self.expires = self.created + page.ttl_s
        self.soft_since: float | None = None
        self.used = False
        self.identity = Variant(page, IDENTITY)
        self.gzip = Variant(page, GZIP) if GZIP in page.bodies else None

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
        )

    def hit(self, *, gzip: bool, now: float, name: str) -> Variant:
        """Return the variant that answers a hit, with its fields made for this second."""
        self.used = True
        variant = self.gzip if gzip and self.gzip is not None else self.identity
        second = int(now)
        if variant.second != second:
            status = cache_status(
                name,
                "hit",
                f"ttl={int(self.expires - now)}",
                "detail=local",
                f"fence={self.fence}",
            )
            variant.prepare(second, int(now - self.created), status)
        return variant


class LocalPages:
    """Entries by key, at most `bytes_max` of them; the least recently used go first (CLOCK)."""

    def __init__(self, *, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._by_tag: dict[str, set[str]] = {}
        self.entries: dict[str, Entry] = {}
        self.bytes = 0
        self.evicted = 0

    def put(self, entry: Entry) -> bool:
        """Keep `entry` in place of what its key held; False if it is too large to be kept.

        One entry takes an eighth of the space at most, so that none can evict everything.
        """
        key = entry.page.key
        self.drop(key)
        if entry.size > self._bytes_max // 8:
            return False
        while self.bytes + entry.size > self._bytes_max:
            self._evict_one()
        self.entries[key] = entry
        self.bytes += entry.size
        for tag in entry.page.tags:
            self._by_tag.setdefault(tag, set()).add(key)
        return True

    def drop(self, key: str) -> None:
        """Forget the page at `key`, if there is one."""
        entry = self.entries.pop(key, None)
        if entry is None:
            return
        self.bytes -= entry.size
        for tag in entry.page.tags:
            keys = self._by_tag[tag]
            keys.discard(key)
            if not keys:
                del self._by_tag[tag]

    def invalidate(self, tags: Collection[str], *, hard: bool, now: float) -> int:
        """Mark the pages that carry one of `tags`; return how many. Costs nothing for others."""
        if hard and EVERYTHING in tags:
            count = len(self.entries)
            self.clear()
            return count
        hit = {key for tag in tags for key in self._by_tag.get(tag, ())}
        for key in hit:
            if hard:
                self.drop(key)
                continue
            entry = self.entries[key]
            if entry.soft_since is None:
                entry.soft_since = now
        return len(hit)

    def clear(self) -> None:
        """Forget every page."""
        self.entries.clear()
        self._by_tag.clear()
        self.bytes = 0

    def _evict_one(self) -> None:
        """Give each page that was used since the last look a second chance."""
        while True:
            key, entry = next(iter(self.entries.items()))
            if not entry.used:
                self.drop(key)
                self.evicted += 1
                return
            entry.used = False
            del self.entries[key]
            self.entries[key] = entry

"""What the cache holds and says: settings, pages as stored, counters."""

import msgspec

IDENTITY = ""  # the content coding of a body that is not coded
GZIP = "gzip"

Headers = list[tuple[bytes, bytes]]


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of the page cache; sizes in bytes, times in seconds."""

    name: str = "asgi-isr"
    """The cache's identifier in `Cache-Status` (RFC 9211, section 2)."""
    namespace: str = "isr"
    """Prefix of every key in the shared store; the same for all who follow the same log."""
    release: str = ""
    """What renders the pages. One release never takes the stored pages of another."""
    bypass: tuple[str, ...] = ()
    """Paths with one of these prefixes go straight to the app."""
    query: frozenset[str] | None = None
    """Query parameters that pages depend on; others are hidden from the app. None: all of them."""
    vary_host: bool = True
    """Whether pages depend on the `Host` header."""
    local_bytes_max: int = 64 * 1024 * 1024
    page_bytes_max: int = 2 * 1024 * 1024
    """A larger response passes through and is not stored."""
    index_tags_max: int = 200_000
    lease_s: float = 15.0
    """How long a page may count as fresh without a mark from the writers' side (rule 8)."""
    render_timeout_s: float = 30.0
    lock_ttl_s: float = 10.0
    """How long another instance's render holds up ours at most, should that instance die."""
    lock_wait_s: float = 2.0
    """How long a miss waits for another instance's render before it renders itself."""
    store_timeout_s: float = 0.05
    refresh_interval_s: float = 1.0
    """A page rendered less than this ago is not refreshed again in the background."""


class Page(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A response as it is stored: whole, with the fence and tags by which each reader judges it.

    `created` is in seconds since 1970 (the Date of RFC 9111, section 4.2.3); `bodies` maps a
    content coding to the body in that coding.
    """

    key: str
    status: int
    headers: Headers
    etag: bytes  # without quotes
    bodies: dict[str, bytes]
    tags: tuple[str, ...]
    fence: int
    created: float
    ttl_s: float
    swr_s: float
    sie_s: float

    @property
    def size(self) -> int:
        """Bytes of this page in memory: bodies, headers and tags with their objects."""
        bodies = sum(map(len, self.bodies.values()))
        headers = sum(len(name) + len(value) + 160 for name, value in self.headers)
        return bodies + headers + sum(len(tag) + 120 for tag in self.tags) + len(self.key) + 1500


class Counters(msgspec.Struct):
    """What the cache has answered since it started. Each request counts once in the first group."""

    hits: int = 0
    not_modified: int = 0  # hits answered with 304; counted in hits as well
    stale: int = 0  # served while a refresh runs, or on error
    misses: int = 0  # rendered (or taken from the shared store) for this request
    collapsed: int = 0  # misses that joined a render under way
    bypassed: int = 0
    unstorable: int = 0

    shared_hits: int = 0
    renders: int = 0
    refreshes: int = 0
    overtaken: int = 0  # renders that an invalidation overtook; not kept
    errors: int = 0  # renders that failed
    evicted: int = 0
    invalidated: int = 0  # local pages that an event made unusable or stale
    corrupt: int = 0  # shared entries that could not be read
    store_failures: int = 0

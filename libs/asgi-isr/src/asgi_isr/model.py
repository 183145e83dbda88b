"""What the cache holds and says: settings, pages as stored, counters."""

import msgspec

Headers = list[tuple[bytes, bytes]]
LAST_MODIFIED = b"last-modified"


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of the page cache; sizes in bytes, times in seconds."""

    name: str = "asgi-isr"
    """The cache's identifier in `Cache-Status` (RFC 9211, section 2)."""
    namespace: str = "isr"
    """Prefix of every key in the shared store; the same for all who follow the same log."""
    instance: str = ""
    """Name of this process among all instances; a new one where it is empty."""
    release: str = ""
    """What renders the pages. One release never takes the stored pages of another."""
    bypass: tuple[str, ...] = ()
    """Paths with one of these prefixes go straight to the app."""
    query: frozenset[str] | None = None
    """Query parameters that pages depend on; others are hidden from the app. None: all of them."""
    vary_host: bool = True
    """Whether pages depend on the `Host` header."""
    heuristic: bool = False
    """Store what RFC 9111 allows beyond what the app asked for: lifetimes guessed from
    `Last-Modified` (section 4.2.2), responses with `Set-Cookie` (7.3), and with a lifetime 5xx and
    what is wrong with one request alone (400, 408, 411, 413, 415, 417, 421, 422, 425, 426)."""
    unsafe_invalidates: bool = True
    """A POST, PUT, DELETE … that succeeds invalidates its path, at all instances (section 4.4)."""
    forward_cdn_cache_control: bool = False
    """Pass `CDN-Cache-Control` of stored pages on, for a CDN in front that something purges."""
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
    consistency_wait_s: float = 0.5
    """How long a client waits for its own write to be known here, until the app answers it."""


class Page(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A response as it is stored: whole, with the fence and tags by which each reader judges it.

    `created` is when the origin made or last confirmed it, in seconds since 1970: the time of its
    receipt less its age then (RFC 9111, section 4.2.3). `bodies` maps a content coding to the body
    in that coding. `etag` is the field's value; `given` says that the app set it, so that the app
    can be asked whether it still holds. `vary` names the request fields that selected it.
    """

    key: str
    status: int
    headers: Headers
    etag: bytes
    given: bool
    bodies: dict[str, bytes]
    tags: tuple[str, ...]
    fence: int
    created: float
    ttl_s: float
    swr_s: float
    sie_s: float
    vary: tuple[str, ...] = ()
    validate: bool = False  # not to be used without asking the app first (`no-cache`)
    public: bool = False  # may also answer requests with credentials (section 3.5)

    @property
    def validators(self) -> Headers:
        """The fields of a request that asks the app whether this page still holds (4.3.1)."""
        asked: Headers = [(b"if-none-match", self.etag)] if self.given else []
        asked += [(b"if-modified-since", at) for name, at in self.headers if name == LAST_MODIFIED]
        return asked

    @property
    def size(self) -> int:
        """Bytes of this page in memory: bodies, headers and tags with their objects."""
        bodies = sum(map(len, self.bodies.values()))
        headers = sum(len(name) + len(value) + 48 for name, value in self.headers)
        return bodies + headers + sum(len(tag) + 90 for tag in self.tags) + len(self.key) + 700


class Varied(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What stands at the key of a page that varies: the request fields that select a variant."""

    key: str
    vary: tuple[str, ...]


class Counters(msgspec.Struct):
    """What the cache has answered since it started. Each request counts once in the first group."""

    hits: int = 0
    not_modified: int = 0  # hits answered with 304; counted in hits as well
    stale: int = 0  # served while a refresh runs, or on error
    misses: int = 0  # rendered (or taken from the shared store) for this request
    collapsed: int = 0  # misses that joined a render under way
    bypassed: int = 0
    unstorable: int = 0
    unsafe: int = 0  # successful unsafe requests, each of which invalidated its path
    unannounced: int = 0  # of them, those that the log did not take: other instances do not know
    unreported: int = 0  # reports of the position that did not leave; the next one says all
    awaited: int = 0  # requests that came before word of their client's own write
    unreached: int = 0  # of them, those to which it did not come in time; counted in bypassed

    shared_hits: int = 0
    validated: int = 0  # stale pages that the app confirmed (304)
    renders: int = 0
    refreshes: int = 0
    overtaken: int = 0  # renders that an invalidation overtook; not kept
    errors: int = 0  # renders that failed
    evicted: int = 0
    invalidated: int = 0  # local pages that an event made unusable or stale
    corrupt: int = 0  # shared entries that could not be read
    store_failures: int = 0

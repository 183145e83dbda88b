"""The settings of a page cache."""

from typing import Any

import msgspec

HEURISTIC = ("guess_freshness", "store_set_cookie", "store_errors")  # what replaces this setting


class _Settings(msgspec.StructMeta):
    """Says what replaces a setting that is gone."""

    def __call__(self, **settings: Any) -> Any:
        if "heuristic" in settings:
            raise TypeError(f"heuristic is gone; choose from {', '.join(HEURISTIC)}")
        return super().__call__(**settings)


class CacheSettings(msgspec.Struct, metaclass=_Settings, frozen=True, kw_only=True):
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
    guess_freshness: bool = False
    """Guess a lifetime from `Last-Modified` where the app gives none (RFC 9111, section 4.2.2)."""
    store_set_cookie: bool = False
    """Store responses with `Set-Cookie` too (section 7.3): all clients get the cookie of one."""
    store_errors: bool = False
    """Store also, where they have a lifetime, 5xx and what is wrong with one request alone (400,
    408, 411, 413, 415, 417, 421, 422, 425, 426)."""
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

"""What the command line of the proxy sets, and the help for it: one line a setting.

The flag of a field is its name with dashes, without the unit `_s`; its type and default are those
of the struct. To offer one more setting of the cache, add its line to `CACHE_HELP`.
"""

import msgspec

from asgi_isr.settings import CacheSettings


class ProxySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of the proxy itself; times in seconds."""

    upstream: str
    listen: str = "127.0.0.1:8080"
    workers: int = 1
    store: str = ""
    log: str = ""
    marks_by_relay: bool = False
    upstream_host: str = ""
    trust_forwarded: bool = False
    connections_max: int = 256
    connect_timeout_s: float = 5.0
    upstream_timeout_s: float = 20.0
    idle_timeout_s: float = 60.0
    stop_timeout_s: float = 30.0
    cache: CacheSettings = CacheSettings()


PROXY_HELP: dict[str, str] = {
    "upstream": "service to forward to, such as http://127.0.0.1:3000; https is verified",
    "listen": "address to listen on, such as 0.0.0.0:8080",
    "workers": "processes that serve; each has a cache of its own",
    "store": "Valkey or Redis shared by all instances, such as redis://127.0.0.1:6379/0",
    "log": "NATS server with the invalidation log, such as nats://127.0.0.1:4222",
    "marks_by_relay": "leave the stream and marks of the log to a relay beside the writers",
    "upstream_host": "`Host` to send to the upstream; by default the client's is kept",
    "trust_forwarded": "trust `X-Forwarded-*` and `Forwarded` from clients, and append to them",
    "connections_max": "connections of a worker to the upstream; further requests wait",
    "connect_timeout_s": "seconds to connect to the upstream",
    "upstream_timeout_s": "seconds from the end of a request to the start of a response; then 504",
    "idle_timeout_s": "seconds that content may make no progress, in either direction",
    "stop_timeout_s": "seconds for running requests to finish when the proxy stops",
}

CACHE_HELP: dict[str, str] = {
    "name": "the cache's name in `Cache-Status`, `Proxy-Status` and `Via`",
    "namespace": "prefix of every key in the store",
    "release": "version of what renders the pages; pages stored by another release are not used",
    "bypass": "paths with this prefix bypass the cache; may be repeated",
    "query": "query parameters that pages depend on, comma-separated; all others are dropped",
    "vary_host": "whether pages depend on `Host`",
    "guess_freshness": "guess a lifetime from `Last-Modified` where the service gives none",
    "store_set_cookie": "store responses with `Set-Cookie` too: all clients get the cookie of one",
    "store_errors": "store also 5xx and faults of one request (400, 413, 422 …) with a lifetime",
    "unsafe_invalidates": "a POST, PUT, DELETE … that succeeds invalidates its path",
    "forward_cdn_cache_control": "pass `CDN-Cache-Control` of stored pages on to clients",
    "local_bytes_max": "bytes of pages that a worker holds in memory",
    "page_bytes_max": "bytes of the largest page that is stored; larger ones pass through",
    "lease_s": "seconds that pages stay fresh without a mark from the log",
    "render_timeout_s": "seconds for a whole response that is to be stored",
    "store_timeout_s": "seconds that a request waits for the store at most",
}

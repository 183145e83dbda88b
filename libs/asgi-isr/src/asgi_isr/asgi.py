"""The ASGI middleware: puts a `PageCache` in front of any ASGI app.

    app = CacheMiddleware(app, PageCache(settings, log=..., store=...))

It reads what the app says in standard header fields (`CDN-Cache-Control` or `Cache-Control`,
`Cache-Tag`, `ETag`) and answers with `Age`, `ETag`, `Cache-Status` and 304.
"""

import re
from urllib.parse import parse_qsl, urlencode

from asgi_isr.capture import App, AppRender, Receive, Scope, Send
from asgi_isr.engine import Answer, PageCache
from asgi_isr.errors import RenderTimeoutError
from asgi_isr.flight import PageRequest
from asgi_isr.headers import accepts_gzip, cache_status
from asgi_isr.keys import PATH_CHARS_MAX, page_key
from asgi_isr.lifespan import Lifespan
from asgi_isr.local import Variant, not_modified_headers

_HOST = re.compile(rb"[^/?#@\\\s]*")  # a host and port; more would reach into the path of a key


class CacheMiddleware:
    """Serve pages from `cache`, let `app` render what it does not hold.

    The cache is opened and closed with the app's lifespan.
    """

    def __init__(self, app: App, cache: PageCache) -> None:
        self.app = app
        self.cache = cache
        settings = cache.settings
        self._name = settings.name
        self._bypass = settings.bypass
        self._query = settings.query
        self._vary_host = settings.vary_host
        self._counters = cache.counters
        self._monotonic = cache.clock.monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection scope (ASGI 3.0)."""
        if scope["type"] == "http":
            method = scope["method"]
            path: str = scope["path"]
            if method in {"GET", "HEAD"} and not path.startswith(self._bypass):
                await self._page(scope, receive, send)
                return
            self._counters.bypassed += 1
        elif scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Lifespan(receive, send).run(self.app, scope, self.cache)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        path: str = scope["path"]
        # A '?' in the path (%3F) would make the key of another path and its query.
        if b"authorization" in headers or b"range" in headers or "?" in path:
            self._counters.bypassed += 1
            await self.app(scope, receive, send)
            return
        query = scope["query_string"]
        if query and self._query is not None:
            query = self._kept_query(query)
        if query or self._vary_host:
            host = headers.get(b"host", b"").decode("latin-1") if self._vary_host else ""
            if host and scope.get("scheme") == "https":
                host = "https://" + host  # the key is the URI (RFC 9111, section 2)
            key = page_key(host, path, query.decode("latin-1"))
        else:
            key = path
        now = self._monotonic()
        accepted = headers.get(b"accept-encoding", b"")
        gzip = b"gzip" in accepted and (b";" not in accepted or accepts_gzip(accepted))
        entry = self.cache.hit(key, now)
        if entry is None:
            if not self._keyable(scope, path):
                self._counters.bypassed += 1
                await self.app(scope, receive, send)
                return
            await self._miss(scope, receive, send, PageRequest(key, path), query)
            return
        self._counters.hits += 1
        variant = entry.hit(gzip=gzip, now=now, name=self._name)
        if_none_match = headers.get(b"if-none-match")
        if if_none_match is not None and variant.confirms(if_none_match):
            self._counters.not_modified += 1
            fields = variant.fields_not_modified.copy()
            await send({"type": "http.response.start", "status": 304, "headers": fields})
            await send({"type": "http.response.body", "body": b""})
            return
        fields = variant.fields.copy()
        await send({"type": "http.response.start", "status": variant.status, "headers": fields})
        body = variant.body if scope["method"] == "GET" else b""
        await send({"type": "http.response.body", "body": body})

    def _keyable(self, scope: Scope, path: str) -> bool:
        """Say whether the key is that of this request alone, whatever a client writes into it."""
        if len(path) > PATH_CHARS_MAX or not path.startswith("/"):
            return False
        if not self._vary_host:
            return True
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        return len(hosts) <= 1 and all(map(_HOST.fullmatch, hosts))

    async def _miss(
        self, scope: Scope, receive: Receive, send: Send, request: PageRequest, query: bytes
    ) -> None:
        render = AppRender(
            self.app, scope, receive, send, query=query, settings=self.cache.settings
        )
        try:
            answer = await self.cache.fetch(request, render)
        except RenderTimeoutError:
            if not render.started:
                await self._timed_out(send)
            return
        if answer is not None:
            await self._send(scope, send, answer)

    async def _send(self, scope: Scope, send: Send, answer: Answer) -> None:
        """Send a page that did not come by the hot path, with its own status line."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        entry = answer.entry
        gzip = entry.gzip if accepts_gzip(headers.get(b"accept-encoding", b"")) else None
        variant: Variant = gzip or entry.identity
        fields = [
            *variant.headers,
            (b"age", str(max(0, int(self._monotonic() - entry.created))).encode()),
            cache_status(self._name, *answer.status),
        ]
        if answer.timing:
            fields.append((b"server-timing", answer.timing))
        if not answer.fresh:  # rule 10: no cache beyond this one may keep it
            fields = [field for field in fields if field[0] != b"cache-control"]
            fields.append((b"cache-control", b"no-store"))
        status = variant.status
        if_none_match = headers.get(b"if-none-match")
        if if_none_match is not None and variant.confirms(if_none_match):
            status, fields = 304, not_modified_headers(fields)
        await send({"type": "http.response.start", "status": status, "headers": fields})
        whole = status != 304 and scope["method"] == "GET"  # noqa: PLR2004  Not Modified
        await send({"type": "http.response.body", "body": variant.body if whole else b""})

    async def _timed_out(self, send: Send) -> None:
        limit_s = self.cache.settings.render_timeout_s
        body = f"No response from the application within {limit_s:g} s.\n".encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            cache_status(self._name, "fwd=miss", "detail=timeout"),
        ]
        await send({"type": "http.response.start", "status": 504, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _kept_query(self, query: bytes) -> bytes:
        """Keep the parameters that pages depend on, in one order."""
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        kept = sorted(pair for pair in pairs if pair[0] in (self._query or ()))
        return urlencode(kept).encode()

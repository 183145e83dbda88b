"""The ASGI middleware: puts a `PageCache` in front of any ASGI app.

    app = CacheMiddleware(app, PageCache(settings, log=..., store=...))

It reads what the app says in standard header fields (`CDN-Cache-Control` or `Cache-Control`,
`Cache-Tag`, `Vary`, `ETag` …) and answers with `Age`, `ETag`, `Cache-Status`, 304 and 206.
"""

import re
from collections.abc import Callable
from operator import itemgetter
from urllib.parse import parse_qsl, urlencode

from asgi_isr.asgi import unsafe_methods as unsafe
from asgi_isr.asgi.answers import asked_part, send_answer, send_failure, send_part, sender_to_one
from asgi_isr.asgi.lifespan import Lifespan
from asgi_isr.engine.cache import PageCache
from asgi_isr.errors import NotCachedError, RenderTimeoutError
from asgi_isr.http.cache_control import cache_control
from asgi_isr.http.codings import accepted
from asgi_isr.http.fields import values
from asgi_isr.keys import page_key, page_path_problem
from asgi_isr.pages.entry import Entry
from asgi_isr.rendering.app_render import AppRender
from asgi_isr.rendering.outcomes import Answer
from asgi_isr.rendering.request import PageRequest
from asgi_isr.types import App, Headers, Receive, Scope, Send

# A host and port: more would reach into the path of a key, and '@' tells schemes apart there.
_HOST = re.compile(rb"[^/?#@\\\s]{0,255}")
_QUERY_BYTES_MAX = 4096
# Preconditions that only the origin can judge (RFC 9111, section 4.3.2).
_FOR_THE_APP = frozenset({b"if-match", b"if-unmodified-since"})
# Some frameworks take method or target from these: the answer would not be that of the key.
_ANOTHER_REQUEST = frozenset(
    {b"x-http-method", b"x-http-method-override", b"x-method-override", b"x-original-url",
     b"x-rewrite-url"}
)  # fmt: skip
_ALONE = _FOR_THE_APP | _ANOTHER_REQUEST | {b"content-length", b"range", b"transfer-encoding"}
_NO_PAGE = "There is no stored page."

# From the fields of a request to what its client wrote: a source of events, and the number up to
# which it must see all of them. None where it asks for no such thing. It must not raise.
ReadYourWrites = Callable[[Headers], tuple[str, int] | None]


class CacheMiddleware:
    """Serve pages from `cache`, let `app` render what it does not hold.

    The cache is opened and closed with the app's lifespan. `read_your_writes` says of a request
    what its client has written: whoever asks so gets no page older than that (rule 12).
    """

    def __init__(
        self, app: App, cache: PageCache, *, read_your_writes: ReadYourWrites | None = None
    ) -> None:
        self.app = app
        self.cache = cache
        settings = cache.settings
        self._name = settings.name
        self._bypass = settings.bypass
        self._query = settings.query
        self._vary_host = settings.vary_host
        self._targeted = settings.forward_cdn_cache_control
        self._counters = cache.counters
        self._monotonic = cache.clock.monotonic
        self._read_your_writes = read_your_writes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection scope (ASGI 3.0)."""
        if scope["type"] == "http":
            method = scope["method"]
            if not scope["path"].startswith(self._bypass):
                if method in {"GET", "HEAD"}:
                    await self._page(scope, receive, send)
                    return
                if method not in unsafe.SAFE and self.cache.settings.unsafe_invalidates:
                    self._counters.bypassed += 1
                    await unsafe.forward(
                        self.app, scope, receive, send, cache=self.cache, origin=self._origin(scope)
                    )
                    return
            self._counters.bypassed += 1
        elif scope["type"] == "lifespan":
            await Lifespan(receive, send).run(self.app, scope, self.cache)
            return
        await self.app(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        path: str = scope["path"]
        query = scope["query_string"]
        if query and self._query is not None:
            query = self._kept_query(query)
        if query or self._vary_host:
            host = headers.get(b"host", b"").decode("latin-1") if self._vary_host else ""
            if host and scope.get("scheme") == "https":
                host = "@" + host  # the key is the URI, with its scheme (RFC 9111, section 2)
            key = page_key(host, path, query.decode("latin-1"))
        else:
            key = path
        reached = None
        if self._read_your_writes is not None:
            written = self._read_your_writes(scope["headers"])
            if written is not None:
                send = sender_to_one(send)
                reached = await self.cache.session.lookup.reached(*written)
        now = self._monotonic()
        entry = self.cache.hit(key, now, scope["headers"])
        if (
            entry is None
            or reached is False
            or (b"authorization" in headers and not entry.public)
            or "?" in path
            or "\n" in path
            or b"content-length" in headers
            or b"transfer-encoding" in headers
        ):
            await self._miss(scope, receive, send, key=key, query=query, reached=reached)
            return
        # One look each: a set operation over all fields costs more than three.
        if (
            b"range" in headers or b"if-match" in headers or b"if-unmodified-since" in headers
        ) and await self._special(scope, receive, send, entry=entry, key=key, query=query):
            return
        self._counters.hits += 1
        codings = accepted(headers.get(b"accept-encoding", b""))
        variant = entry.answer(
            codings=codings,
            now=now,
            name=self._name,
            ready=self.cache.ready,
            targeted=self._targeted,
        )
        known = headers.get(b"if-none-match")
        since = headers.get(b"if-modified-since")
        if (known is not None or since is not None) and variant.confirms(known, since):
            self._counters.not_modified += 1
            fields = variant.fields_not_modified()
            await send({"type": "http.response.start", "status": 304, "headers": fields})
            await send({"type": "http.response.body", "body": b""})
            return
        fields = variant.fields.copy()
        await send({"type": "http.response.start", "status": variant.status, "headers": fields})
        body = variant.body if scope["method"] == "GET" else b""
        await send({"type": "http.response.body", "body": body})

    async def _special(
        self, scope: Scope, receive: Receive, send: Send, *, entry: Entry, key: str, query: bytes
    ) -> bool:
        """Answer from a fresh page a request for a part of it, or hand on what is for the app.

        False: the whole is the answer, or 304 (RFC 9110, section 13.2.2 has the order).
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if not _FOR_THE_APP.isdisjoint(headers):
            await self._miss(scope, receive, send, key=key, query=query)
            return True
        held = entry.variant(accepted(headers.get(b"accept-encoding", b"")))
        known, since = headers.get(b"if-none-match"), headers.get(b"if-modified-since")
        if scope["method"] != "GET" or held.confirms(known, since):
            return False
        asked = asked_part(entry, headers)
        if asked is None:
            return False
        self._counters.hits += 1
        variant = entry.answer(
            codings=(),
            now=self._monotonic(),
            name=self._name,
            ready=self.cache.ready,
            targeted=self._targeted,
        )
        await send_part(send, variant.fields.copy(), variant.body, asked or None)
        return True

    def _bypassed(self, scope: Scope, query: bytes) -> str:
        """Say why the app has to answer a request itself, or return ''."""
        if _for_the_app_alone(scope["headers"]) or not self._keyable(scope, query):
            return "request"
        # With a '?' or a line break in it, a key would be that of another page.
        return "path" if page_path_problem(scope["path"], scope.get("raw_path")) else ""

    def _keyable(self, scope: Scope, query: bytes) -> bool:
        """Say whether the key is that of this request alone, whatever a client writes into it.

        Keys outlive their pages in several tables, so that none may be of any length.
        """
        if len(query) > _QUERY_BYTES_MAX:
            return False
        if not self._vary_host:
            return True
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        return len(hosts) <= 1 and all(map(_HOST.fullmatch, hosts))

    def _origin(self, scope: Scope) -> str:
        """Return scheme and host, where pages depend on them."""
        if not self._vary_host:
            return ""
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        return f"{scope.get('scheme', 'http')}://{host.decode('latin-1').lower()}"

    async def _miss(
        self, scope: Scope, receive: Receive, send: Send, *, key: str, query: bytes,
        reached: bool | None = None,
    ) -> None:  # fmt: skip
        """Answer what is no hit. `reached`: whether the client's own write is known here."""
        path: str = scope["path"]
        fields = scope["headers"]
        request = PageRequest(
            key=key,
            path=path,
            headers=fields,
            origin=self._origin(scope),
            authorized=any(name == b"authorization" for name, _ in fields),
            only_if_cached="only-if-cached" in cache_control(values(fields, b"cache-control")),
            after_a_write=reached is not None,
        )
        settings, session = self.cache.settings, self.cache.session
        render = AppRender(
            self.app, scope, receive, send, request=request, query=query,
            settings=settings, clock=self.cache.clock, spawn=session.renders.spawn,
        )  # fmt: skip
        reason = self._bypassed(scope, query)
        if reached is False and not reason:
            reason = "read-your-writes"
        if reason:
            self._counters.bypassed += 1
            if request.only_if_cached:
                await send_failure(scope, send, settings, detail="only-if-cached", text=_NO_PAGE)
            else:
                await render.direct(reason)
            return
        try:
            outcome = await session.lookup.fetch(request, render)
        except NotCachedError:
            await send_failure(scope, send, settings, detail="only-if-cached", text=_NO_PAGE)
        except RenderTimeoutError:
            if not render.started:
                text = f"No response from the application within {settings.render_timeout_s:g} s."
                await send_failure(scope, send, settings, detail="timeout", text=text)
        else:
            if isinstance(outcome, Answer):
                now = self._monotonic()
                await send_answer(scope, send, outcome, settings=settings, now=now)

    def _kept_query(self, query: bytes) -> bytes:
        """Keep the parameters that pages depend on, in one order."""
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        kept = sorted((pair for pair in pairs if pair[0] in (self._query or ())), key=itemgetter(0))
        return urlencode(kept).encode()


def _for_the_app_alone(fields: Headers) -> bool:
    """Say whether a request concerns more than the page of its key.

    A part of a page that is not here, a precondition of a change, content (which a render for all
    has none of), a field that makes it another request.
    """
    names = {name for name, value in fields if name != b"content-length" or value.strip(b"0")}
    return not names.isdisjoint(_ALONE)

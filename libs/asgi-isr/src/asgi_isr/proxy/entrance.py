"""The outermost app of the proxy: lets requests in, gives them one meaning, answers failures.

What it hands on is what the cache judges by and what the upstream gets, so that neither can see
another request than the other.
"""

import logging

import msgspec

from asgi_isr.proxy.admission import cacheable, raw_path, refusal
from asgi_isr.proxy.errors import ClientGoneError, ProxyError
from asgi_isr.proxy.fields import claimed_scheme, max_forwards, request_fields
from asgi_isr.types import App, Headers, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

# Not reflected by TRACE (RFC 9110, section 9.3.8).
_SECRET = frozenset({b"authorization", b"cookie"})


class Entrance:
    """Hands requests to `cached`, or to `upstream` where no cache may see them.

    Args:
        cached: the cache before the upstream; gets the lifespan.
        upstream: the upstream alone.
        name: this proxy's name in `Via` and `Proxy-Status`.
        bypass: prefixes of paths that the cache does not see, in whatever spelling.
        trusted: whether clients are proxies whose `X-Forwarded-*` are believed.

    """

    def __init__(
        self, cached: App, upstream: App, *, name: str, bypass: tuple[str, ...], trusted: bool
    ) -> None:
        self._cached = cached
        self._upstream = upstream
        self._name = name
        self._bypass = bypass
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection scope (ASGI 3.0): HTTP or lifespan."""
        if scope["type"] == "lifespan":
            await self._cached(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._admit(scope, receive, answer)
        except ClientGoneError as error:
            logger.debug("%s %s: %s", scope["method"], scope["path"], error)
        except ProxyError as error:
            logger.warning("%s %s: %s", scope["method"], scope["path"], error)
            # Once a response has begun, returning without its end makes the server cut the
            # connection, so that the client cannot take what it has for whole.
            if not answer.started:
                await self._explain(send, error)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = refusal(scope, name=self._name)
        if refused is not None:
            raise refused
        method: str = scope["method"]
        headers: Headers = scope["headers"]
        if method in {"TRACE", "OPTIONS"} and max_forwards(headers) == 0:
            await self._last_hop(scope, send)
            return
        client, scheme = scope.get("client"), scope["scheme"]
        if self._trusted:
            scheme = claimed_scheme(headers) or scheme
        fields = request_fields(
            headers,
            name=self._name,
            version=scope["http_version"],
            scheme=scheme,
            client=client[0] if client else "",
            method=method,
            trusted=self._trusted,
        )
        # Decoded, `/a%2Fb` and `/a/b` would be one page; an upstream may tell them apart.
        path = raw_path(scope).decode("latin-1")
        app = self._cached if cacheable(scope, self._bypass) else self._upstream
        inner = {**scope, "scheme": scheme, "path": path, "headers": fields}
        await app(inner, receive, send)

    async def _last_hop(self, scope: Scope, send: Send) -> None:
        """Answer in the upstream's stead where `Max-Forwards` says so (RFC 9110, 7.6.2)."""
        fields: Headers = [(b"cache-control", b"no-store")]
        body = b""
        if scope["method"] == "TRACE":
            fields.append((b"content-type", b"message/http"))
            lines = [b"%b: %b" % field for field in scope["headers"] if field[0] not in _SECRET]
            query = b"?" + scope["query_string"] if scope["query_string"] else b""
            start = b"TRACE %b%b HTTP/1.1" % (raw_path(scope), query)
            body = b"\r\n".join((start, *lines, b"", b""))
        fields.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    async def _explain(self, send: Send, error: ProxyError) -> None:
        """Answer with problem details (RFC 9457) and `Proxy-Status` (RFC 9209)."""
        problem = {"type": "about:blank", "title": error.title, "status": error.status}
        body = msgspec.json.encode(problem)
        fields = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"proxy-status", f"{self._name}; error={error.error}".encode()),
        ]
        await send({"type": "http.response.start", "status": error.status, "headers": fields})
        await send({"type": "http.response.body", "body": body})


class _Answer:
    """A `send` that knows whether the response has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
        await self._send(message)

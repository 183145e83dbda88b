"""Unsafe requests that succeed invalidate what they changed (RFC 9111, section 4.4; RFC 9875).

The path of the request, those that `Location` and `Content-Location` name on the same host, and the
groups in `Cache-Group-Invalidation`: at once in this process, and as an event for all instances.
"""

from urllib.parse import urljoin, urlsplit

from asgi_isr.engine.cache import PageCache
from asgi_isr.events import Invalidation
from asgi_isr.http import groups
from asgi_isr.http.fields import cache_status, first
from asgi_isr.keys import literal_path, page_path_problem, path_problem
from asgi_isr.types import App, Headers, Message, Receive, Scope, Send

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, section 9.2.1
_ERRORS = 400
_METHOD_CHARS_MAX = 32  # of the reason, for people to read


def _paths(scope: Scope, host: str, headers: Headers) -> tuple[str, ...]:
    """Return the paths that a successful answer speaks of, all on the host that was asked.

    Without those that no page can have: a client must not make events of them.
    """
    path = literal_path(scope["path"])
    found = {path} if page_path_problem(scope["path"], scope.get("raw_path")) is None else set()
    base = f"http://{host}{path}"
    for name in (b"location", b"content-location"):
        target = first(headers, name)
        if target is None:
            continue
        try:
            parts = urlsplit(urljoin(base, target))
        except ValueError:
            continue  # no URL
        if parts.netloc.lower() == host.lower():
            found.add(parts.path.replace("*", "%2A") or "/")  # a client's `/*` is not every page
    return tuple(sorted(one for one in found if path_problem(one) is None))


async def forward(
    app: App, scope: Scope, receive: Receive, send: Send, *, cache: PageCache, origin: str
) -> None:
    """Let `app` answer an unsafe request; invalidate before its client hears of the success."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    name, changes = cache.settings.name, cache.session.changes

    async def announcing(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(bytes(name).lower(), bytes(value))
                       for name, value in message.get("headers", ())]  # fmt: skip
            if message["status"] < _ERRORS:
                event = Invalidation(
                    tags=groups.invalidated(headers, origin),
                    paths=_paths(scope, host.decode("latin-1"), headers),
                    reason=f"{scope['method'][:_METHOD_CHARS_MAX]} succeeded",
                )
                if event.tags or event.paths:
                    await changes.take(event)
            status = cache_status(name, "fwd=method")
            message = {**message, "headers": [*headers, status]}
        await send(message)

    await app(scope, receive, announcing)

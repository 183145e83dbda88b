"""A test kit for apps behind the cache and for the cache itself: clock, app, client.

async with cache:
    reply = await request(CacheMiddleware(app, cache), "/pairs/usd/eur")
    assert "hit" in reply.cache_status
"""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from asgi_isr.capture import App, Message, Receive, Scope, Send
from asgi_isr.model import Headers


class FakeClock:
    """A clock that moves only when it is told to; seconds."""

    def __init__(self, *, monotonic: float = 1_000.0, wall: float = 1_795_400_000.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        """Return the seconds of the monotonic clock."""
        return self._monotonic

    def wall(self) -> float:
        """Return the seconds since 1970."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._monotonic += seconds
        self._wall += seconds


class Reply(NamedTuple):
    """A whole response; names of fields in lower case, the last value of each."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def cache_status(self) -> str:
        """The `Cache-Status` field, empty when there is none."""
        return self.headers.get("cache-status", "")


async def request(
    app: App,
    path: str,
    *,
    method: str = "GET",
    query: str = "",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send one request to an ASGI app and return the whole response."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (b"host", b"test"),
            *((name.lower().encode(), value.encode()) for name, value in (headers or {}).items()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    received: list[Message] = []
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # a client that stays connected
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        received.append(message)

    await app(scope, receive, send)
    fields = {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in received[0]["headers"]
    }
    body = b"".join(message.get("body", b"") for message in received[1:])
    return Reply(received[0]["status"], fields, body)


class RecordingApp:
    """An ASGI app whose pages a test writes, and which says how often it rendered them.

    `bodies` and `headers` are by path; a render waits while `gate` is not set, and raises `error`
    if there is one. `renders` lists the paths rendered, in order of their start.
    """

    def __init__(self, cache_control: str = "max-age=100") -> None:
        self.cache_control = cache_control
        self.bodies: dict[str, bytes] = {}
        self.headers: dict[str, Headers] = {}
        self.status = 200
        self.error: Exception | None = None
        self.renders: list[str] = []
        self.scopes: list[Scope] = []
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Render the page at the scope's path."""
        path = scope["path"]
        self.renders.append(path)
        self.scopes.append(scope)
        await receive()
        body = self.bodies.get(path, b"page " + path.encode())
        self.started.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        headers = [
            (b"content-type", b"text/plain"),
            (b"cdn-cache-control", self.cache_control.encode()),
            (b"cache-control", b"public, max-age=0, must-revalidate"),
            *self.headers.get(path, ()),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

"""An app for tests, whose pages a test writes."""

import asyncio

from asgi_isr.types import Headers, Receive, Scope, Send


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

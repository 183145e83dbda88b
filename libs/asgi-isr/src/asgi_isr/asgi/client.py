"""A client for one request that asks an ASGI app in this process, without a server.

reply = await request(app, "/products/42")
assert reply.status == 200
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote

from asgi_isr.types import App, Message, Scope


class Reply(NamedTuple):
    """A whole response. `fields` are all its header fields as they came, names in lower case."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """The last value of each field."""
        return dict(self.fields)

    def values(self, name: str) -> list[str]:
        """Return every value of the field `name`, in order; empty when there is none."""
        return [value for field, value in self.fields if field == name.lower()]

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
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    scheme: str = "http",
    raw_path: bytes | None = None,
) -> Reply:
    """Send one request to an ASGI app and return the whole response.

    `path` is decoded, as apps see it; `raw_path` is how it was sent, where that matters. `headers`
    may name a field more than once; `Host` is `test` where it names none. The client stays
    connected until it has the response; a wait is bounded by the caller (`asyncio.timeout`). Raises
    what the app raises, and `RuntimeError` when it ends without a response.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    if all(name != b"host" for name, _ in fields):
        fields.insert(0, (b"host", b"test"))
    if body and all(name != b"content-length" for name, _ in fields):
        fields.append((b"content-length", str(len(body)).encode()))
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": quote(path).encode() if raw_path is None else raw_path,
        "query_string": query.encode(),
        "root_path": "",
        "headers": fields,
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
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        received.append(message)

    await app(scope, receive, send)
    if not received or received[0]["type"] != "http.response.start":
        raise RuntimeError("the app ended without a response")
    given = (
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in received[0].get("headers", ())
    )
    whole = b"".join(message.get("body", b"") for message in received[1:])
    return Reply(received[0]["status"], tuple(given), whole)

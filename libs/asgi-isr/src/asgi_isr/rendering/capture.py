"""Collects a response that may be stored, and lets others through as they come."""

import asyncio
from collections.abc import Callable

from asgi_isr.http.fields import first
from asgi_isr.http.policy import (
    ERROR_STATUS,
    NOT_MODIFIED,
    Circumstances,
    NotStored,
    Storing,
    storing,
)
from asgi_isr.rendering.outcomes import Confirmed, Rendered, Streamed
from asgi_isr.types import Headers, Message, Receive, Send

_NO_BODY = frozenset({204, 205})
_TOO_LARGE = NotStored("too large")

HandOver = Callable[[NotStored, int], tuple[Send, Receive]]


class Capture:
    """The app's view of one render: an empty request body, and a `send` that collects or passes.

    A response that is not stored is passed: `hand_over` is told why not, and its status, and gives
    the client; with None nobody gets it. An error (5xx) is not, if `hold_errors`. `asked` says that
    the app was asked about a page, so that 304 is an answer.
    """

    def __init__(
        self, *, circumstances: Callable[[], Circumstances], page_bytes_max: int,
        hand_over: HandOver | None, hold_errors: bool, asked: bool,
    ) -> None:  # fmt: skip
        self._circumstances = circumstances
        self._page_bytes_max = page_bytes_max
        self._to_client = hand_over
        self._hold_errors = hold_errors
        self._asked_about = asked  # a page: then 304 is an answer
        self._body = bytearray()
        self._start: Message | None = None
        self._status = 0
        self._headers: Headers = []
        self._at = circumstances()
        self._rule: Storing | NotStored = NotStored("no response")
        self._complete = False
        self._asked = False
        self._client: tuple[Send, Receive] | None = None
        self._answered = asyncio.Event()  # whole, or handed over to the client
        self.whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def receive(self) -> Message:
        """Give an empty request; later calls hear of the client once it is handed over.

        After a whole response they hear that the client has gone, as from a server.
        """
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._answered.wait()
        if self._client is None:
            return {"type": "http.disconnect"}
        return await self._client[1]()

    async def send(self, message: Message) -> None:
        """Take one message of the app's response."""
        if self._client is not None:
            await self._client[0](message)
        elif message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body":
            await self._collect(message)

    async def _begin(self, message: Message) -> None:
        self._status = message["status"]
        given = message.get("headers", ())  # any iterable, perhaps one that can be read once
        self._headers = [(bytes(name).lower(), bytes(value)) for name, value in given]
        self._start = {**message, "headers": self._headers}
        self._at = self._circumstances()
        if self._confirms:
            return
        self._rule = storing(self._status, self._headers, self._at)
        held = self._hold_errors and self._status in ERROR_STATUS
        if isinstance(self._rule, Storing):
            if held:
                self._rule = NotStored(f"status {self._status}")
            elif self._declared > self._page_bytes_max:
                self._rule = _TOO_LARGE
        if isinstance(self._rule, NotStored) and not held:
            await self._hand_over(self._rule)

    @property
    def _confirms(self) -> bool:
        return self._asked_about and self._status == NOT_MODIFIED

    @property
    def _declared(self) -> int:
        """Bytes that `Content-Length` promises, -1 where it promises nothing that can be read."""
        value = first(self._headers, b"content-length") or ""
        return int(value) if value.isascii() and value.isdecimal() else -1

    async def _collect(self, message: Message) -> None:
        self._body += message.get("body", b"")
        self._complete = not message.get("more_body", False)
        if len(self._body) <= self._page_bytes_max:
            if self._complete:
                self._answered.set()
                if not self.whole.done():
                    self.whole.set_result(None)
            return
        self._rule = _TOO_LARGE
        await self._hand_over(_TOO_LARGE)
        if self._client is not None:
            await self._client[0]({**message, "body": bytes(self._body)})
        self._body.clear()

    async def _hand_over(self, refused: NotStored) -> None:
        """Let the client, if there is one, have the response from here on, from its start."""
        if self._to_client is None:
            return
        self._client = self._to_client(refused, self._status)
        self._answered.set()
        if self._start is not None:
            await self._client[0](self._start)

    def outcome(self) -> Rendered | Confirmed | Streamed:
        """Return what the app answered; raises RuntimeError when it answered nothing or in part."""
        if self._client is not None:
            return Streamed(self._status)
        if self._start is None or not self._complete:
            raise RuntimeError("the application ended without a complete response")
        if self._confirms:
            return Confirmed(self._headers, self._at)
        body = bytes(self._body)
        whole = self._declared in {-1, len(body)} or self._status in _NO_BODY
        if isinstance(self._rule, Storing) and not whole:
            raise RuntimeError(
                f"the application sent {len(body)} bytes after promising {self._declared}"
            )
        return Rendered(self._status, self._headers, body, self._rule, self._at)

"""One HTTP/1.1 connection to the upstream, which reads no faster than its user takes."""

import asyncio
from typing import cast

from asgi_isr.proxy.errors import UpstreamError
from asgi_isr.proxy.response import Head, ResponseReader

CONTENT_BYTES_HELD = 256 * 1024  # beyond it reading pauses; one more read may come on top


class Connection(asyncio.Protocol):
    """A connection that carries one exchange at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._response = ResponseReader(head_only=False)
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._lost = False
        self._exchanging = False
        self._exchanges = 0
        self._sent = False
        self.answering = asyncio.Event()
        """Set by 100 (Continue), by a final response, and by whatever breaks the exchange off."""

    # -- the exchange ---------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether a request can be sent."""
        transport = self._transport
        return transport is not None and not transport.is_closing() and self._error is None

    @property
    def stale(self) -> bool:
        """Whether the upstream closed a kept connection before a byte of the response came."""
        return self._exchanges > 1 and self._lost and not self._response.heard

    @property
    def head_came(self) -> bool:
        """Whether the final response has begun."""
        return self._response.head is not None

    @property
    def pending(self) -> bool:
        """Whether reading the content need not wait now."""
        return bool(self._response.content) or self._response.complete

    @property
    def finished(self) -> bool:
        """Whether all of the response was read."""
        return self._response.complete and not self._response.content

    def start(self, head: bytes, *, head_only: bool, content: bool) -> None:
        """Send the head of a request; `head_only` when its response has no content (HEAD).

        With `content` it is followed by `write` and `sent_all`.
        """
        self._response = ResponseReader(head_only=head_only)
        self._sent = not content
        self._exchanging = True
        self._exchanges += 1
        self.answering.clear()
        if self._transport is not None and self._error is None:
            self._transport.write(head)

    async def write(self, data: bytes) -> None:
        """Send a part of the request's content; wait while the upstream does not take it."""
        if self._error is not None:
            raise self._error
        if self._transport is not None:
            self._transport.write(data)
        await self._writable.wait()

    def sent_all(self) -> None:
        """Say that the request is whole."""
        self._sent = True

    def limit_head(self, timeout_s: float) -> None:
        """Give the upstream `timeout_s` from now to begin its response."""
        if not self.head_came and self._error is None:
            error = UpstreamError("http_response_timeout", f"no response within {timeout_s:g} s")
            self._timer = self._loop.call_later(timeout_s, self.fail, error)

    async def head(self) -> Head:
        """Wait for the final response; raises `UpstreamError`, or what `fail` was given."""
        while (head := self._response.head) is None:
            if self._error is not None:
                raise self._error
            await self._wait()
        return head

    async def body(self) -> bytes:
        """Wait for content; empty only at the end. Raises as `head`, after what came before it."""
        while not self.pending:
            if self._error is not None:
                raise self._error
            await self._wait()
        content = self._response.content
        data = bytes(content)
        content.clear()
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return data

    def end(self) -> None:
        """End the exchange; closes unless request and response are whole and it may go on."""
        self._exchanging = False
        self._stop_timer()
        if not (self._response.reusable and self._response.complete and self._sent):
            self.close()

    def fail(self, error: Exception) -> None:
        """Break the connection off; whoever waits gets `error`."""
        self._error = self._error or error
        self._response.reusable = False
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def close(self) -> None:
        """Close the connection; what it has not sent yet still goes."""
        self._response.reusable = False
        if self._transport is not None:
            self._transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self.head_came or self._error is not None:
            self._stop_timer()
            self.answering.set()
        elif self._response.invited:
            self.answering.set()
        if self._error is not None:
            self._writable.set()

    # -- the transport's word -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no such class

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        response = self._response
        if not self._exchanging or response.complete:
            self.close()  # more than was asked for: nobody can say where it belongs
            return
        response.feed(data)
        if response.error is not None:
            self.fail(response.error)
        elif len(response.content) > CONTENT_BYTES_HELD and not self._paused:
            self._paused = True
            if self._transport is not None:
                self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Take the end of the connection, which may be that of the content."""
        self._response.end()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those who wait for more."""
        self._lost = self._error is None  # else it was we who broke it off
        self._response.reusable = False
        incomplete = self._response.heard and not self._response.complete
        kind = "http_response_incomplete" if incomplete else "connection_terminated"
        self._error = self._error or UpstreamError(kind, str(exc or "closed by the upstream"))
        self._wake()

    def pause_writing(self) -> None:
        """Let writers wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

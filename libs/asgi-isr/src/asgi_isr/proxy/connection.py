"""One HTTP/1.1 connection to the upstream: a strict, bounded reader and a writer that waits.

llhttp, in its strict mode, parses (RFC 9112); this class adds what it leaves to its user: bounds,
framing by the end of the connection, HEAD, and what must not be forwarded.
"""

import asyncio
from typing import NamedTuple, cast

import httptools

from asgi_isr.model import Headers
from asgi_isr.proxy.errors import UpstreamError
from asgi_isr.proxy.fields import listed

HEAD_BYTES_MAX = 64 * 1024  # of a header section, a trailer section, or all before the next content
FIELDS_MAX = 256
BODY_BYTES_HELD = 256 * 1024  # beyond it reading pauses; one more read may come on top
_FINAL = 200
_NO_CONTENT = frozenset({204, 304})


class Head(NamedTuple):
    """The start of a final response; names of fields in lower case."""

    status: int
    version: str
    fields: Headers


class Connection(asyncio.Protocol):
    """A connection that carries one exchange at a time.

    `reusable` says whether a further request may follow this one's response.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._exchanges = 0
        self._exchanging = False
        self._begin(head_only=False)

    def _begin(self, *, head_only: bool) -> None:
        self._sent = False
        self._parser = httptools.HttpResponseParser(self)
        self._head_only = head_only
        self._head: Head | None = None
        self._fields: Headers = []
        self._field_bytes = 0
        self._silent_bytes = 0  # since the last content
        self._body = bytearray()
        self._informational = False
        self._until_close = False
        self._complete = False
        self._heard = False
        self._lost = False
        self.reusable = False
        self.answering = asyncio.Event()  # 100 (Continue), a final response, or the end

    # -- the exchange ---------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether a request can be sent."""
        return (
            self._transport is not None and not self._transport.is_closing() and self._error is None
        )

    @property
    def stale(self) -> bool:
        """Whether the upstream closed a kept connection before a byte of the response came."""
        return self._exchanges > 1 and self._lost and not self._heard

    @property
    def pending(self) -> bool:
        """Whether reading the content need not wait now."""
        return bool(self._body) or self._complete

    @property
    def head_came(self) -> bool:
        """Whether the final response has begun."""
        return self._head is not None

    @property
    def finished(self) -> bool:
        """Whether all of the response was read."""
        return self._complete and not self._body

    def start(self, head: bytes, *, head_only: bool, content: bool) -> None:
        """Send the head of a request; `head_only` when its response has no content (HEAD).

        With `content` it is followed by `write` and `sent_all`.
        """
        self._begin(head_only=head_only)
        self._sent = not content
        self._exchanging = True
        self._exchanges += 1
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
        if self._head is None and self._error is None:
            error = UpstreamError("http_response_timeout", f"no response within {timeout_s:g} s")
            self._timer = self._loop.call_later(timeout_s, self.fail, error)

    async def head(self) -> Head:
        """Wait for the final response; raises `UpstreamError`, or what `fail` was given."""
        while self._head is None:
            if self._error is not None:
                raise self._error
            await self._wait()
        return self._head

    async def body(self) -> bytes:
        """Wait for content; empty only at the end. Raises as `head`, after what came before it."""
        while not self._body and not self._complete:
            if self._error is not None:
                raise self._error
            await self._wait()
        data = bytes(self._body)
        self._body.clear()
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return data

    def end(self) -> None:
        """End the exchange; what is not reusable closes."""
        self._exchanging = False
        self._stop_timer()
        if not (self.reusable and self._sent and self._complete):
            self.close()

    def fail(self, error: Exception) -> None:
        """Break the connection off; whoever waits gets `error`."""
        if self._error is None:
            self._error = error
        self.reusable = False
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def close(self) -> None:
        """Close the connection."""
        self.reusable = False
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
        if self._head is not None or self._error is not None:
            self.answering.set()
        if self._error is not None:
            self._writable.set()

    # -- the transport's word -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no such class

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if not self._exchanging or self._complete:
            self.close()  # more than was asked for: nobody can say where it belongs
            return
        self._heard = True
        self._silent_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse("http_upgrade_failed", "101 (Switching Protocols) without being asked")
        except httptools.HttpParserError as error:
            self._refuse("http_protocol_error", str(error))
        if self._silent_bytes > HEAD_BYTES_MAX and not self._complete:
            self._refuse("http_response_header_section_size", f"over {HEAD_BYTES_MAX} bytes")
        if len(self._body) > BODY_BYTES_HELD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _refuse(self, error: str, reason: str) -> None:
        """Break off, unless the response is whole: then what follows it is of no interest."""
        self.reusable = False
        if not self._complete:
            self.fail(UpstreamError(error, reason))

    def eof_received(self) -> None:
        """Take the end of the connection, which may be that of the content."""
        if self._head is not None and self._until_close and self._error is None:
            self._complete = True
        self.reusable = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those who wait for more."""
        self._lost = True
        if self._error is None and not self._complete:
            whole = "http_response_incomplete" if self._heard else "connection_terminated"
            self._error = UpstreamError(whole, str(exc) if exc else "closed by the upstream")
        elif self._error is None:
            self._error = UpstreamError("connection_terminated", "closed")
        self.reusable = False
        self._stop_timer()
        self._wake()

    def pause_writing(self) -> None:
        """Let writers wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    # -- the parser's word ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Notice a second response."""
        if self._complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field; those of a trailer section are dropped (RFC 9110, section 6.5.1)."""
        if self._head is not None:
            return
        self._field_bytes += len(name) + len(value)
        if len(self._fields) >= FIELDS_MAX or self._field_bytes > HEAD_BYTES_MAX:
            self._refuse("http_response_header_section_size", f"over {FIELDS_MAX} fields or bytes")
        elif self._error is None:
            self._fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Judge the head: an informational one is dropped, a final one begins the response."""
        if self._error is not None or self._head is not None:
            return
        status, version = self._parser.get_status_code(), self._parser.get_http_version()
        fields, self._fields = self._fields, []
        if version not in {"1.0", "1.1"} or status < 100:  # noqa: PLR2004  three digits
            self._refuse("http_protocol_error", f"HTTP/{version} {status}")
        elif status < _FINAL:
            self._informational = True
            if status == 100:  # noqa: PLR2004  Continue
                self.answering.set()
        else:
            self._final(Head(status, version, fields))

    def _final(self, head: Head) -> None:
        codings = [coding.lower() for coding in listed(head.fields, b"transfer-encoding")]
        # We understand chunked only and say so by sending no TE (RFC 9112, sections 6.1 and 7).
        if codings not in ([], [b"chunked"]) or (codings and head.version == "1.0"):
            self._refuse("http_response_transfer_coding", repr(codings)[:100])
            return
        bare = self._head_only or head.status in _NO_CONTENT
        framed = codings or any(name == b"content-length" for name, _ in head.fields)
        self._until_close = not framed and not bare
        options = {option.lower() for option in listed(head.fields, b"connection")}
        self.reusable = head.version == "1.1" and not self._until_close and b"close" not in options
        self._head = head
        self._complete = self._head_only
        self._stop_timer()

    def on_body(self, data: bytes) -> None:
        """Take content."""
        self._silent_bytes = 0
        if self._complete:
            self.reusable = False  # content of a HEAD
        elif self._error is None:
            self._body += data

    def on_message_complete(self) -> None:
        """Take the end of an informational or of the final response."""
        if self._informational:
            self._informational = False
        elif self._head is not None and self._error is None:
            self._complete = True

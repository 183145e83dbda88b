"""The ASGI app that forwards to an upstream HTTP service, content streamed both ways.

Nothing is held but what one read brings: a slow client slows the upstream down, and a slow upstream
the client.
"""

import asyncio
from typing import NamedTuple

from asgi_isr.proxy.admission import raw_path
from asgi_isr.proxy.connection import Connection
from asgi_isr.proxy.errors import ClientGoneError, RequestRefusedError, UpstreamError
from asgi_isr.proxy.fields import response_fields
from asgi_isr.proxy.pool import Origin, Pool
from asgi_isr.types import Headers, Message, Receive, Scope, Send

CONTINUE_WAIT_S = 1.0  # for 100 (Continue), after which content is sent unasked (RFC 9110, 10.1.1)
CONTENT_BYTES_PER_S_MIN = (
    512  # of a client: a byte now and then must not hold a connection for ever
)
_IDEMPOTENT = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"})


class Request(NamedTuple):
    """A request on its way: its head as bytes, and how its content is framed."""

    method: str
    head: bytes
    chunked: bool
    length: int  # bytes of content; 0 when chunked
    expects: bool

    @property
    def has_content(self) -> bool:
        """Whether content follows the head."""
        return self.chunked or self.length > 0


class Upstream:
    """Forwards each request to `origin`; fields go as they come (see `Entrance`), but `Host`.

    With `host` that one is sent, else the client's. Raises `UpstreamError` when no whole answer
    comes: before a response was started, or in its midst; then the server must cut the client off.
    It gives up `timeout_s` after the request was sent without a response, and where content stands
    still for `idle_timeout_s`, in either direction.
    """

    def __init__(
        self, origin: Origin, *, name: str = "asgi-isr", host: str = "",
        connections_max: int = 256, connect_timeout_s: float = 5.0, timeout_s: float = 20.0,
        idle_timeout_s: float = 60.0,
    ) -> None:  # fmt: skip
        self._origin = origin
        self._name = name
        self._host = host.encode()
        self._timeout_s = timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._pool = Pool(
            origin, connections_max=connections_max, connect_timeout_s=connect_timeout_s
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection scope (ASGI 3.0): HTTP or lifespan."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self._pool.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        request = self._request(scope)
        connection = await self._pool.take()
        try:
            await self._exchange(connection, request, receive, send)
        except UpstreamError:
            # The upstream closed it while it was idle: it has not seen the request.
            if not connection.stale or request.has_content or request.method not in _IDEMPOTENT:
                raise
            connection = await self._pool.take(fresh=True)
            await self._exchange(connection, request, receive, send)

    def _request(self, scope: Scope) -> Request:
        headers: Headers = scope["headers"]
        fields = dict(headers)
        chunked = b"transfer-encoding" in fields
        if self._host or not fields.get(b"host"):
            host = self._host or self._origin.authority.encode()
            headers = [(b"host", host), *(field for field in headers if field[0] != b"host")]
        return Request(
            method=scope["method"],
            head=head_bytes(scope["method"], raw_path(scope), scope["query_string"], headers),
            chunked=chunked,
            length=0 if chunked else int(fields.get(b"content-length", b"0")),
            expects=fields.get(b"expect", b"").strip().lower() == b"100-continue",
        )

    async def _exchange(
        self, connection: Connection, request: Request, receive: Receive, send: Send
    ) -> None:
        """Send the request and pass the response on; raises what breaks either."""
        failure: Exception | None = None
        last = b""
        try:
            async with asyncio.TaskGroup() as tasks:
                connection.start(
                    request.head,
                    head_only=request.method == "HEAD",
                    content=request.has_content,
                )
                if not request.has_content:
                    connection.limit_head(self._timeout_s)
                feeding = tasks.create_task(self._feed(connection, request, receive))
                try:
                    last = await self._answer(connection, send)
                except Exception as error:  # noqa: BLE001  raised below, outside of the group
                    failure = error
                feeding.cancel()
        finally:
            self._pool.give_back(connection)
        if failure is not None:
            raise failure
        await self._send(send, {"type": "http.response.body", "body": last})

    async def _answer(self, connection: Connection, send: Send) -> bytes:
        """Pass the response on; return the last of its content, which ends it."""
        head = await connection.head()
        fields = response_fields(
            head.fields, name=self._name, version=head.version, status=head.status
        )
        await self._send(
            send, {"type": "http.response.start", "status": head.status, "headers": fields}
        )
        if not connection.pending:
            # The client shall have the head though content is long in coming.
            await self._send(send, {"type": "http.response.body", "body": b"", "more_body": True})
        while True:
            try:
                async with asyncio.timeout(self._idle_timeout_s):
                    data = await connection.body()
            except TimeoutError as error:
                reason = f"no content for {self._idle_timeout_s:g} s"
                raise UpstreamError("connection_read_timeout", reason) from error
            if connection.finished:
                return data
            await self._send(send, {"type": "http.response.body", "body": data, "more_body": True})

    async def _send(self, send: Send, message: Message) -> None:
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                await send(message)
        except TimeoutError as error:
            raise ClientGoneError("the client has stopped reading") from error

    async def _feed(self, connection: Connection, request: Request, receive: Receive) -> None:
        """Send the content, then watch for the end of the client, which ends the exchange."""
        try:
            if request.has_content:
                await self._content(connection, request, receive)
                connection.sent_all()
                connection.limit_head(self._timeout_s)
            while (await receive())["type"] != "http.disconnect":
                pass
            connection.fail(ClientGoneError("the client closed its connection"))
        except Exception as error:  # noqa: BLE001  whoever reads the response raises it
            connection.fail(error)

    async def _content(self, connection: Connection, request: Request, receive: Receive) -> None:
        """Send the request's content as it comes, framed as its head says."""
        if request.expects and not await self._invited(connection):
            await asyncio.Event().wait()  # answered without it; cancelled when all was passed on
        left, more = request.length, True
        patience_s = self._idle_timeout_s
        while more:
            message, waited_s = await self._received(receive, patience_s)
            if message["type"] == "http.disconnect":
                raise ClientGoneError("the client closed its connection")
            data, more = message.get("body", b""), message.get("more_body", False)
            left -= len(data)
            earned_s = len(data) / CONTENT_BYTES_PER_S_MIN
            patience_s = min(self._idle_timeout_s, patience_s - waited_s + earned_s)
            if not request.chunked and (left < 0 or (left > 0 and not more)):
                raise RequestRefusedError(400, "The content is not as long as Content-Length says")
            if request.chunked:
                data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
                data += b"" if more else b"0\r\n\r\n"
            if data:
                await self._written(connection, data)

    async def _invited(self, connection: Connection) -> bool:
        """Wait until the upstream wants the content, or has not said so in time."""
        try:
            async with asyncio.timeout(CONTINUE_WAIT_S):
                await connection.answering.wait()
        except TimeoutError:
            return True
        return not connection.head_came

    async def _received(self, receive: Receive, patience_s: float) -> tuple[Message, float]:
        """Return what comes from the client, and how many seconds it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(patience_s):
                return await receive(), loop.time() - began
        except TimeoutError as error:
            raise RequestRefusedError(408, "The content did not arrive in time") from error

    async def _written(self, connection: Connection, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                await connection.write(data)
        except TimeoutError as error:
            reason = f"took no content for {self._idle_timeout_s:g} s"
            raise UpstreamError("connection_write_timeout", reason) from error


def head_bytes(method: str, path: bytes, query: bytes, fields: Headers) -> bytes:
    """Return the head of a request (RFC 9112, section 3).

    Raises `RequestRefusedError` where a part of it would begin a line or target of its own.
    """
    target = path + b"?" + query if query else path
    lines = [b"%b %b HTTP/1.1" % (method.encode("ascii"), target)]
    lines += [b"%b: %b" % field for field in fields]
    head = b"\r\n".join((*lines, b"", b""))
    ends = len(lines) + 1
    if head.count(b"\r") != ends or head.count(b"\n") != ends or lines[0].count(b" ") != 2:  # noqa: PLR2004  RFC 9112, section 3
        raise RequestRefusedError(400, "The request contains a line break")
    return head

"""Nodes that take purges, and nodes that do not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Self

import pytest
from asgi_isr.ports import SystemClock
from perfcheck_revalidator.cdn.http_purge import HttpPurge
from perfcheck_revalidator.cdn.port import CdnError, PurgeEvent

pytestmark = pytest.mark.integration

EVENTS = [PurgeEvent("e1", ("a",), ()), PurgeEvent("e2", ("b",), ("/p",))]

TOKEN = "a-token-of-this-test"  # noqa: S105  no server knows it


class Node:
    """A node that answers every request with `status`, or not at all where that is None."""

    def __init__(self, status: str | None = "200 OK", fields: str = "") -> None:
        self.status = status
        self.fields = fields
        self.requests: list[str] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _head(reader):
                self.requests.append(head)
                if self.status is None:
                    await reader.read()  # until the client gives up
                    return
                body = "said the node"
                length = f"content-length: {len(body)}\r\n"
                answer = f"HTTP/1.1 {self.status}\r\n{length}{self.fields}\r\n{body}"
                writer.write(answer.encode())
                await writer.drain()
        finally:
            writer.close()


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Give what closes the nodes and purgers of a test."""
    async with AsyncExitStack() as opened:
        yield opened


async def purger(stack: AsyncExitStack, *nodes: Node, token: str | None = None) -> HttpPurge:
    """Open the nodes; return who purges them, with short time limits."""
    for node in nodes:
        await stack.enter_async_context(node)
    cdn = HttpPurge(
        [node.url for node in nodes],
        SystemClock(),
        style="xkey",
        token=token,
        request_timeout_s=0.3,
        node_timeout_s=2,
    )
    stack.push_async_callback(cdn.close)
    return cdn


async def failure(cdn: HttpPurge) -> CdnError:
    """Return why a purge failed."""
    async with asyncio.timeout(5):
        with pytest.raises(CdnError) as caught:
            await cdn.purge(EVENTS, again=False)
    return caught.value


async def test_every_node_is_purged(stack: AsyncExitStack) -> None:
    """Each node gets every name and the token; the purge is complete when all have answered."""
    nodes = [Node(), Node("202 Accepted")]
    cdn = await purger(stack, *nodes, token=TOKEN)
    one, two = await cdn.purge(EVENTS, again=True)
    assert one == two
    assert (one.provider, one.status, one.again) == ("http-purge", "completed", True)
    assert one.submitted_at is not None
    assert one.completed_at is not None
    for node in nodes:
        by_key, by_path = (request.lower() for request in node.requests)
        assert by_key.startswith("purge / http/1.1")
        assert "xkey-purge: a b\r\n" in by_key
        assert "surrogate-key: a b\r\n" in by_key
        assert by_path.startswith("ban / http/1.1")
        assert "ban-path: (?i)^(?:/p(?:\\?|$))\r\n" in by_path
        assert all(f"authorization: bearer {TOKEN}\r\n" in text for text in (by_key, by_path))
    assert cdn.unhealthy_reason is None


@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        ("301 Moved Permanently", True),
        ("403 Forbidden", True),
        ("405 Method Not Allowed", True),
        ("408 Request Timeout", False),
        ("429 Too Many Requests", False),
        ("500 Internal Server Error", False),
        ("503 Service Unavailable", False),
    ],
)
async def test_refusals(stack: AsyncExitStack, status: str, *, permanent: bool) -> None:
    """A node that refuses is named with its words; 4xx is for good, the rest passes."""
    node = Node(status)
    cdn = await purger(stack, Node(), node)
    error = await failure(cdn)
    assert error.permanent is permanent
    assert f"{node.url}: PURGE answered {status[:3]} said the node" in str(error)
    assert cdn.unhealthy_reason == str(error)
    node.status = "200 OK"
    await cdn.purge(EVENTS, again=False)
    assert cdn.unhealthy_reason is None


@pytest.mark.parametrize(("value", "wait_s"), [("7", 7.0), ("999999", 300.0), ("soon", None)])
async def test_retry_after(stack: AsyncExitStack, value: str, wait_s: float | None) -> None:
    """A node that says when to come back is listened to, within bounds."""
    cdn = await purger(stack, Node("503 Service Unavailable", f"retry-after: {value}\r\n"))
    assert (await failure(cdn)).retry_after_s == wait_s


async def test_frozen_node_holds_up_no_other(stack: AsyncExitStack) -> None:
    """A node that never answers costs one time limit; the others are purged, and it is named."""
    well, frozen = Node(), Node(None)
    error = await failure(await purger(stack, frozen, well))
    assert not error.permanent
    assert str(error) == f"{frozen.url}: no answer to PURGE within 0.3 s"
    assert len(well.requests) == 2


async def test_missing_node_can_be_retried(stack: AsyncExitStack) -> None:
    """A node that is not there keeps a purge open, even where another refuses for good."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refusing = await stack.enter_async_context(Node("403 Forbidden"))
    urls = [refusing.url, f"http://127.0.0.1:{port}"]
    cdn = HttpPurge(urls, SystemClock(), style="xkey")
    stack.push_async_callback(cdn.close)
    error = await failure(cdn)
    assert not error.permanent
    assert f"{urls[1]}: PURGE: Connection refused" in str(error)
    assert "403" in str(error)


async def test_node_that_speaks_no_http(stack: AsyncExitStack) -> None:
    """An answer that is none can be retried."""
    cdn = await purger(stack, Node("nonsense"))
    assert not (await failure(cdn)).permanent


async def test_endless_answer_is_not_read(stack: AsyncExitStack) -> None:
    """A node that answers without end costs no more than its time limit or its bound."""

    class Endless(Node):
        """Sends a body without end."""

        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _head(reader)
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            try:
                while True:
                    writer.write(b"x" * 4096)
                    await writer.drain()
            except ConnectionError:
                pass
            finally:
                writer.transport.abort()  # what waits to be sent is of no use

    error = await failure(await purger(stack, Endless()))
    assert error.permanent
    assert len(str(error)) < 400

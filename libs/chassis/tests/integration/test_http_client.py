import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from perfcheck_chassis.http_client import NeighbourError, ServiceClient

pytestmark = pytest.mark.integration


class ScriptedServer:
    """A bare HTTP server that counts connections and requests, and misbehaves as told.

    `script` gives, for the n-th request on a connection (from 1), what to do with it: `answer`,
    `hang`, `close` (without an answer), `cut` (in the middle of the body) or `garbage`.
    """

    def __init__(self, script: Callable[[int], str] = lambda _: "answer") -> None:
        self.script = script
        self.connections = 0
        self.requests: list[bytes] = []
        self.body = b'{"ok":true}'
        self.chunked = False
        self.idle_close = False
        self.closed = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Yield the base URL."""
        tasks: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._serve(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.close()
                self.closed.set()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = 0
        while True:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            number += 1
            action = self.script(number)
            if action == "hang":
                await asyncio.Event().wait()
            if action == "close":
                return
            if action == "garbage":
                writer.write(b"what?\r\n\r\n")
                return
            writer.write(b"HTTP/1.1 200 OK\r\nServer-Timing: app;dur=1.5\r\nCache-Tag: a, b\r\n")
            if self.chunked:
                writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
                writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(self.body), self.body))
            else:
                writer.write(b"Content-Length: %d\r\n\r\n" % len(self.body))
                if action == "cut":
                    writer.write(self.body[:3])
                    return
                writer.write(self.body)
            await writer.drain()
            if self.idle_close:
                return


# The pool takes a connection back in its own thread. A call that comes before that opens another
# one, which is kept as well: so "one connection" is, rarely, two.
CONNECTIONS_FEW = 2


async def test_sequential_calls_share_one_connection() -> None:
    """Fifty calls one after the other share their connection."""
    server = ScriptedServer()
    async with server.listening() as url, ServiceClient(url) as client:
        for _ in range(50):
            assert (await client.get("/x")).status == 200
    assert server.connections <= CONNECTIONS_FEW
    assert len(server.requests) == 50


async def test_reply_holds_answer_and_times() -> None:
    """A reply carries status, headers, body, its duration and the application's own."""
    server = ScriptedServer()
    async with server.listening() as url, ServiceClient(url) as client:
        reply = await client.get(
            "/a/b%20c", {"from": "2026-01-01", "q": "ü&"}, headers={"X-Y": "1"}
        )
    assert reply.status == 200
    assert reply.body == b'{"ok":true}'
    assert reply.headers["cache-tag"] == "a, b"
    assert reply.headers["Cache-Tag"] == "a, b"
    assert reply.app_s == 0.0015
    assert reply.duration_s > 0
    head = server.requests[0].lower()
    assert head.startswith(b"get /a/b%20c?from=2026-01-01&q=%c3%bc%26 http/1.1")
    assert b"x-y: 1" in head
    assert b"accept-encoding" not in head


async def test_connection_closed_under_a_call_is_retried_once() -> None:
    """When the server closes a kept-alive connection as it takes a request, the call succeeds."""
    server = ScriptedServer(lambda _: "close" if len(server.requests) == 2 else "answer")
    async with server.listening() as url, ServiceClient(url) as client:
        await client.get("/x")
        assert (await client.get("/x")).status == 200
    assert len(server.requests) == 3


async def test_idle_connection_closed_by_the_server_is_replaced() -> None:
    """An idle connection that the server closed is not used; a new one is opened."""
    server = ScriptedServer()
    server.idle_close = True
    async with server.listening() as url, ServiceClient(url) as client:
        for expected in (1, 2, 3):
            assert (await client.get("/x")).status == 200
            await server.closed.wait()
            server.closed.clear()
            assert server.connections == expected


async def test_server_that_always_closes_is_unavailable() -> None:
    """Two attempts without an answer are enough: the neighbour is unavailable."""
    server = ScriptedServer(lambda _: "close")
    async with server.listening() as url, ServiceClient(url, neighbour="api") as client:
        with pytest.raises(NeighbourError, match="api: unavailable: GET /x: connection") as caught:
            await client.get("/x")
    assert caught.value.kind == "unavailable"
    assert len(server.requests) == 2


async def test_refused_connection_names_the_neighbour(free_port: int) -> None:
    """When nobody listens the error says who is meant and that the connection was refused."""
    async with ServiceClient(f"http://127.0.0.1:{free_port}/", neighbour="api") as client:
        with pytest.raises(NeighbourError, match=r"api: unavailable: GET /x: .*refused"):
            await client.get("/x")


async def test_slow_answer_times_out_without_retry() -> None:
    """A call is bounded by its time limit, and is not made again."""
    server = ScriptedServer(lambda _: "hang")
    async with server.listening() as url, ServiceClient(url, timeout_s=0.2) as client:
        with pytest.raises(NeighbourError, match=r"no answer to GET /x within 0\.2 s") as caught:
            async with asyncio.timeout(10):
                await client.get("/x")
    assert caught.value.kind == "timeout"
    assert len(server.requests) == 1
    assert caught.value.neighbour == url.removeprefix("http://")


async def test_waiting_for_a_connection_is_bounded_too() -> None:
    """With all connections busy, further calls give up within the same time limit."""
    server = ScriptedServer(lambda _: "hang")
    async with (
        server.listening() as url,
        ServiceClient(url, timeout_s=0.5, connections_max=1) as client,
    ):
        async with asyncio.timeout(10):
            results = await asyncio.gather(
                *(client.get(f"/{number}") for number in range(8)), return_exceptions=True
            )
        # They gave up while they waited. Who gave up first may have left its place to another.
        assert len(server.requests) < 4
    assert [getattr(result, "kind", None) for result in results] == ["timeout"] * 8


async def test_cancelled_call_frees_its_place() -> None:
    """A cancelled call gives its connection slot back to the next, within its time limit."""
    server = ScriptedServer(lambda _: "hang" if len(server.requests) == 1 else "answer")
    async with (
        server.listening() as url,
        ServiceClient(url, timeout_s=1, connections_max=1) as client,
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.get("/a")
        assert (await client.get("/b")).status == 200


@pytest.mark.parametrize("action", ["cut", "garbage"])
async def test_broken_answer_is_invalid(action: str) -> None:
    """An answer that is cut off or no HTTP is an error, never a short body."""
    server = ScriptedServer(lambda _: action)
    async with server.listening() as url, ServiceClient(url) as client:
        with pytest.raises(NeighbourError) as caught:
            await client.get("/x")
    assert caught.value.kind == "invalid"


@pytest.mark.parametrize("chunked", [False, True])
async def test_answer_over_the_limit_is_refused(chunked: bool) -> None:  # noqa: FBT001  a parameter
    """A body over the limit is not read into memory, with announced length or without."""
    server = ScriptedServer()
    server.chunked = chunked
    async with server.listening() as url, ServiceClient(url, body_bytes_max=10) as client:
        with pytest.raises(NeighbourError, match="exceeds 10 bytes"):
            await client.get("/x")
        server.body = b"0123456789"
        assert (await client.get("/x")).body == b"0123456789"


async def test_client_must_be_open() -> None:
    """A call outside the context manager says what is wrong."""
    client = ServiceClient("http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="use `async with`"):
        await client.get("/x")


async def test_keeps_its_connection_to_a_real_service(start_service: Callable[..., Any]) -> None:
    """Against Granian fifty calls share a port; each takes longer than the application."""
    service = start_service()
    service.wait_ready()
    async with ServiceClient(service.base_url, neighbour="sample") as client:
        replies = [await client.get("/who") for _ in range(50)]
    assert len({json.loads(reply.body)["port"] for reply in replies}) <= CONNECTIONS_FEW
    for reply in replies:
        assert reply.app_s is not None
        assert 0 < reply.app_s < reply.duration_s


async def test_survives_a_restart_of_the_service(start_service: Callable[..., Any]) -> None:
    """Connections of a service that was restarted are replaced without an error."""
    service = start_service()
    service.wait_ready()
    async with ServiceClient(service.base_url, neighbour="sample") as client:
        await asyncio.gather(*(client.get("/who") for _ in range(4)))
        service.process.terminate()
        await asyncio.to_thread(service.process.wait, 10)
        again = start_service()
        await asyncio.to_thread(again.wait_ready)
        assert (await client.get("/who")).status == 200

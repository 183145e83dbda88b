"""Content streams both ways, and whoever is slow slows the other side down."""

import asyncio
from typing import Any

import pytest
from asgi_isr.testing import eventually
from perfcheck_embedded import LOOPBACK

MB = 1024 * 1024
GROWTH_BYTES_MAX = 48 * MB


@pytest.mark.parametrize("target", ["/api/events", "/events"], ids=["past", "through"])
async def test_event_reaches_the_client_before_the_next(
    origin: Any, proxy: Any, target: str
) -> None:
    """Server-sent events pass one by one, and the head before the first of them."""
    asked = asyncio.Queue[bytes]()

    async def handler(_: Any, __: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while True:
            writer.write(await asked.get())
            await writer.drain()

    origin.handler = handler
    async with asyncio.timeout(15):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"text/event-stream" in head
        for number in range(3):
            event = b"data: %d\n\n" % number
            await asked.put(event)
            await reader.readuntil(event)
        writer.close()


@pytest.mark.parametrize("target", ["/api/events", "/events"], ids=["past", "through"])
async def test_end_of_the_client_reaches_the_upstream(origin: Any, proxy: Any, target: str) -> None:
    """A client that leaves a silent stream ends the exchange with the upstream."""
    ended = asyncio.Event()

    async def handler(_: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 0\n\n")
        try:
            await reader.read()
        finally:
            ended.set()

    origin.handler = handler
    async with asyncio.timeout(15):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await reader.readuntil(b"data: 0\n\n")
        writer.close()
        async with asyncio.timeout(1.5):  # not the 2 s that content may stand still
            await ended.wait()


async def test_large_response(origin: Any, proxy: Any) -> None:
    """200 MB pass in little memory, and stop where the client stops reading."""
    size, sent = 200 * MB, 0

    async def handler(_: Any, __: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * MB)
            await writer.drain()
            sent += MB

    origin.handler = handler
    before = proxy.peak_bytes()
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        held = await standstill(lambda: sent)
        assert held < 40 * MB  # the sockets' buffers hold some
        got = 0
        while got < size:
            got += len(await reader.read(MB))
        writer.close()
    assert got == size
    assert proxy.peak_bytes() - before < GROWTH_BYTES_MAX


async def test_large_request(origin: Any, proxy: Any) -> None:
    """200 MB of an upload pass in little memory, and wait for an upstream that does not read."""
    size, written, got = 200 * MB, 0, 0
    read = asyncio.Event()

    async def handler(_: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        await read.wait()
        while got < size:
            got += len(await reader.read(MB))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin.handler = handler
    before = proxy.peak_bytes()

    async def upload(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        while written < size:
            writer.write(b"x" * MB)
            await writer.drain()
            written += MB

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        tasks.create_task(upload(writer))
        assert await standstill(lambda: written) < 40 * MB
        read.set()
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.close()
    assert got == size
    assert proxy.peak_bytes() - before < GROWTH_BYTES_MAX


async def test_answer_before_the_end_of_the_request(origin: Any, proxy: Any) -> None:
    """An upstream that refuses in the midst of an upload is heard at once."""

    async def handler(_: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    origin.handler = handler
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabcd")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")
        writer.close()


async def test_upload_that_breaks_off(origin: Any, proxy: Any, fetch: Any) -> None:
    """A client that leaves in the midst of an upload leaves no half request behind."""
    ended = asyncio.Event()

    async def handler(
        request: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.method == "POST":
            assert await reader.read() == b"abcd"
            ended.set()
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin.handler = handler
    async with asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabcd")
        await eventually(lambda: origin.requests)
        writer.close()
        await ended.wait()
    assert (await fetch(proxy.port, "/next")).body == b"ok"


async def standstill(count: Any) -> int:
    """Return a number once it has not changed for half a second."""
    last, since = -1, 0
    while since < 25:
        now = count()
        since = since + 1 if now == last else 0
        last = now
        await asyncio.sleep(0.02)
    return last


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_upload_that_trickles_in(origin: Any, proxy: Any, framing: str) -> None:
    """A client that sends a byte now and then, never idle, holds no connection for ever: 408."""

    async def handler(_: Any, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await reader.read()

    origin.handler = handler
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    answer = asyncio.ensure_future(reader.readline())
    writer.write(f"POST /slow HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode())
    async with asyncio.timeout(10):
        while not answer.done():  # idle for a tenth of what is allowed
            writer.write(b"1\r\na\r\n" if "chunked" in framing else b"a")
            await asyncio.wait([answer], timeout=0.2)
    assert b" 408 " in answer.result()
    writer.close()

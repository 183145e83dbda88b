"""An upstream that lies, floods, stalls or breaks off: a clear answer, bounded memory, no page."""

import asyncio
from typing import Any, NamedTuple

import pytest

STORABLE = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
GROWTH_BYTES_MAX = 48 * 1024 * 1024


class Lie(NamedTuple):
    """What the upstream says, and what the client gets instead."""

    id: str
    response: bytes
    status: int
    error: str


PROTOCOL = (502, "http_protocol_error")
INCOMPLETE = (502, "http_response_incomplete")
CODING = (502, "http_response_transfer_coding")
TOO_LARGE = (502, "http_response_header_section_size")
LIES = [
    Lie("not-http", b"SSH-2.0-OpenSSH\r\n", *PROTOCOL),
    Lie("http-9", b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("http-2", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("status-of-two-digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("status-of-four-digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("status-below-100", b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("status-of-letters", b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("upgrade", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 502,
        "http_upgrade_failed"),
    Lie("two-lengths", STORABLE + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", *PROTOCOL),
    Lie("list-of-lengths", STORABLE + b"Content-Length: 2, 2\r\n\r\nab", *PROTOCOL),
    Lie("negative-length", STORABLE + b"Content-Length: -1\r\n\r\nab", *PROTOCOL),
    Lie("signed-length", STORABLE + b"Content-Length: +2\r\n\r\nab", *PROTOCOL),
    Lie("huge-length", STORABLE + b"Content-Length: 99999999999999999999\r\n\r\nab", *PROTOCOL),
    Lie("length-and-coding", STORABLE + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n0\r\n\r\n", *PROTOCOL),
    Lie("coding-and-length", STORABLE + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n"
        b"2\r\nab\r\n0\r\n\r\n", *PROTOCOL),
    Lie("unknown-coding", STORABLE + b"Transfer-Encoding: xchunked\r\n\r\nab", *CODING),
    Lie("coding-unasked", STORABLE + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", *CODING),
    Lie("chunked-twice", STORABLE + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        *CODING),
    Lie("chunked-in-1.0", STORABLE.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n", *CODING),
    Lie("folded-field", STORABLE + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("bare-line-feed", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", *PROTOCOL),
    Lie("space-before-colon", STORABLE + b"Content-Length : 0\r\n\r\n", *PROTOCOL),
    Lie("no-name", STORABLE + b": a\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("NUL-in-value", STORABLE + b"X: a\0b\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("CR-in-value", STORABLE + b"X: a\rb\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("DEL-in-value", STORABLE + b"X: a\x7fb\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("control-in-value", STORABLE + b"X: a\x01b\r\nContent-Length: 0\r\n\r\n", *PROTOCOL),
    Lie("chunk-size-of-letters", STORABLE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
        *PROTOCOL),
    Lie("chunk-size-too-large", STORABLE + b"Transfer-Encoding: chunked\r\n\r\n"
        b"fffffffffffffffff\r\nab\r\n", *PROTOCOL),
    Lie("chunk-longer-than-said", STORABLE + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"
        b"0\r\n\r\n", *PROTOCOL),
    Lie("many-fields", STORABLE + b"X: a\r\n" * 1_000 + b"Content-Length: 0\r\n\r\n", *TOO_LARGE),
    Lie("long-field", STORABLE + b"X: " + b"a" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n",
        *TOO_LARGE),
    Lie("tags-of-10-MB", STORABLE + b"Cache-Tag: " + b"a," * 5_000_000 +
        b"\r\nContent-Length: 0\r\n\r\n", *TOO_LARGE),
    Lie("many-interim-responses", b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, *TOO_LARGE),
    Lie("head-cut-off", STORABLE + b"Conte", *INCOMPLETE),
    Lie("content-cut-off", STORABLE + b"Content-Length: 10\r\n\r\nabc", *INCOMPLETE),
    Lie("chunks-cut-off", STORABLE + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        *INCOMPLETE),
    Lie("nothing", b"", 502, "connection_terminated"),
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.id)
async def test_lie_is_answered_and_not_stored(
    origin: Any, proxy: Any, fetch: Any, lie: Lie
) -> None:
    """The client gets a problem that names the fault; the next request asks the upstream again."""

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(lie.response)
        await writer.drain()
        writer.close()

    origin.handler = handler
    for count in (1, 2):
        response = await fetch(proxy.port, f"/lie/{lie.id}")
        assert response.status == lie.status
        assert response.one("proxy-status") == f"asgi-isr; error={lie.error}"
        assert response.one("content-type") == "application/problem+json"
        assert response.one("cache-control") == "no-store"
        assert response.whole
        assert len(origin.requests) == count


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 4096),
        (b"HTTP/1.1 ", b"2" * 4096),
        (b"HTTP/1.1 200 ", b"a" * 4096),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        (STORABLE + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 4096),
        (STORABLE + b"Transfer-Encoding: chunked\r\n\r\n2;", b"a" * 4096),
        (STORABLE + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n", b"X: abcdef\r\n"),
    ],
    ids=[
        "fields", "value", "status", "reason", "interim", "chunk-size", "chunk-extension",
        "trailer",
    ],
)  # fmt: skip
async def test_endless_response(
    origin: Any, proxy: Any, fetch: Any, start: bytes, more: bytes
) -> None:
    """What never ends outside of content is broken off, soon and in little memory."""
    before = proxy.peak_bytes()
    cut = asyncio.Event()

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(start)
            while True:
                writer.write(more)
                await writer.drain()
        finally:
            cut.set()

    origin.handler = handler
    response = await fetch(proxy.port, "/endless")
    assert response.status == 502
    async with asyncio.timeout(5):
        await cut.wait()
    assert proxy.peak_bytes() - before < GROWTH_BYTES_MAX


async def test_endless_storable_content(origin: Any, proxy: Any) -> None:
    """Content without end passes through in little memory, and is not stored."""
    before = proxy.peak_bytes()

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STORABLE + b"\r\n")
        while True:
            writer.write(b"a" * 65536)
            await writer.drain()

    origin.handler = handler
    for _ in range(2):
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ in range(50):
                await reader.readexactly(1024 * 1024)
            writer.close()
    assert len(origin.requests) == 2
    assert proxy.peak_bytes() - before < GROWTH_BYTES_MAX


@pytest.mark.parametrize("end", ["close", "reset", "garbage", "stall"])
async def test_content_that_breaks_later(origin: Any, proxy: Any, end: str) -> None:
    """However content ends before its end, the client's connection is cut."""
    go_on = asyncio.Event()

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await go_on.wait()
        if end == "close":
            writer.close()
        elif end == "reset":
            writer.transport.abort()
        elif end == "garbage":
            writer.write(b"zz\r\n")
        else:
            await asyncio.Event().wait()

    origin.handler = handler
    async with asyncio.timeout(15):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"GET /breaks HTTP/1.1\r\nHost: a\r\n\r\n")
        got = await reader.readuntil(b"abc\r\n")
        go_on.set()
        rest = await reader.read()
        writer.close()
    assert got.startswith(b"HTTP/1.1 200")
    assert rest == b""  # not the chunk of size 0 that would end it


async def test_silent_upstream(origin: Any, proxy: Any, fetch: Any) -> None:
    """An upstream that accepts and says nothing costs one request and one time limit."""
    await fetch(proxy.port, "/first")  # so that the next comes by a kept connection

    async def handler(_: Any, __: asyncio.StreamReader, ___: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    origin.handler = handler
    response = await fetch(proxy.port, "/silent")
    assert response.status == 504
    assert response.one("proxy-status") == "asgi-isr; error=http_response_timeout"
    assert [request.target for request in origin.requests] == ["/first", "/silent"]


async def test_trickling_head(origin: Any, proxy: Any, fetch: Any) -> None:
    """A head that comes byte by byte does not hold a request up beyond the time limit."""

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in STORABLE * 10:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)

    origin.handler = handler
    assert (await fetch(proxy.port, "/trickle")).status == 504


async def test_longer_content_than_said(origin: Any, proxy: Any, fetch: Any) -> None:
    """What follows a response is nobody's: the response passes, its connection closes."""

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab" + forged)
        await writer.drain()

    origin.handler = handler
    for count in (1, 2, 3):
        assert (await fetch(proxy.port, "/api/longer")).body == b"ab"
        assert origin.connections == count


async def test_content_of_a_head_response(origin: Any, proxy: Any, fetch: Any) -> None:
    """Content that follows a response to HEAD is not taken for the next response."""

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    origin.handler = handler
    for count in (1, 2):
        response = await fetch(proxy.port, "/api/head", method="HEAD")
        assert response.one("content-length") == "40"
        assert origin.connections == count


@pytest.mark.parametrize(
    "lines",
    [
        b"Vary: *\r\n",
        b"Cache-Tag: a\xff\r\n",
        b"Set-Cookie: a=1\r\n",
        b"Cache-Control: no-store\r\n",
        b"Connection: cache-control\r\nCache-Control: private\r\n",
    ],
    ids=["vary", "tag", "cookie", "no-store", "hidden-private"],
)
async def test_passes_but_is_not_stored(origin: Any, proxy: Any, fetch: Any, lines: bytes) -> None:
    """A response that no cache may keep reaches each client from upstream."""

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STORABLE + lines + b"Content-Length: 2\r\n\r\nhi")

    origin.handler = handler
    for count in (1, 2):
        assert (await fetch(proxy.port, "/pass" + lines.hex())).body == b"hi"
        assert len(origin.requests) == count


async def test_coded_content_is_not_decoded(origin: Any, proxy: Any, fetch: Any) -> None:
    """A small body that would unpack into a large one stays small."""
    bomb = b"\x1f\x8b" + b"\0" * 1000

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + bomb)

    origin.handler = handler
    response = await fetch(proxy.port, "/api/bomb", "Accept-Encoding: gzip")
    assert (response.body, response.one("content-encoding")) == (bomb, "gzip")


@pytest.mark.usefixtures("origin")
async def test_proxy_outlives_them_all(proxy: Any, fetch: Any) -> None:
    """After all of this the same worker serves."""
    assert proxy.process.poll() is None
    assert (await fetch(proxy.port, "/after")).body == b"plain"


@pytest.mark.parametrize("name", ["Date", "Expires", "Last-Modified", "Age"])
async def test_invalid_dates_pass(origin: Any, proxy: Any, fetch: Any, name: str) -> None:
    """A field that holds no date, or no age, breaks neither the response nor the proxy."""

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        field = name.encode() + b": Mon, 99 Foo 99999 -1:00\r\n"
        writer.write(STORABLE + field + b"Content-Length: 2\r\n\r\nhi")

    origin.handler = handler
    for _ in range(2):
        response = await fetch(proxy.port, f"/date/{name}")
        assert (response.status, response.body, response.whole) == (200, b"hi", True)


async def test_trickling_content(origin: Any, proxy: Any, fetch: Any) -> None:
    """Content that comes byte by byte passes as it comes when it is not to be stored."""

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n")
        for _ in range(25):
            await asyncio.sleep(0.1)  # 2.5 s in all: more than content may stand still
            writer.write(b"x")
            await writer.drain()

    origin.handler = handler
    response = await fetch(proxy.port, "/api/trickle")
    assert (response.body, response.whole) == (b"x" * 25, True)

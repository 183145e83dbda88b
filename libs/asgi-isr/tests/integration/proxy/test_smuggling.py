"""Requests that another proxy could read differently: refused, or forwarded with one meaning."""

import asyncio
from typing import Any

import pytest

HOST = b"Host: shop.test\r\n"
END = b"GET /end HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n"
REFUSED = {
    "two-lengths": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
    "length-list": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 4, 4\r\n\r\nabcd",
    "signed-length": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: +4\r\n\r\nabcd",
    "unknown-coding": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n"
    + SMUGGLED,
    "coding-before-chunked": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two-codings": b"POST /a HTTP/1.1\r\n" + HOST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "folded-coding": b"POST /a HTTP/1.1\r\n" + HOST
    + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n",
    "space-before-colon": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length : 4\r\n\r\nabcd",
    "two-hosts": b"GET /a HTTP/1.1\r\n" + HOST + b"Host: evil.test\r\n\r\n",
    "host-with-path": b"GET /a HTTP/1.1\r\nHost: shop.test/x\r\n\r\n",
    "host-with-user": b"GET /a HTTP/1.1\r\nHost: a@shop.test\r\n\r\n",
    "NUL-in-field": b"GET /a HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "CR-in-field": b"GET /a HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
    "space-in-target": b"GET /a /b HTTP/1.1\r\n" + HOST + b"\r\n",
    "control-in-target": b"GET /a\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
    "no-path": b"GET a HTTP/1.1\r\n" + HOST + b"\r\n",
    "connect": b"CONNECT shop.test:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "unknown-version": b"GET /a HTTP/3.7\r\n" + HOST + b"\r\n",
}  # fmt: skip


async def all_answers(port: int, data: bytes) -> bytes:
    """Send bytes and one more request that ends the connection; return all that comes back."""
    async with asyncio.timeout(15):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data + END)
        answer = await reader.read()
        writer.close()
    return answer


@pytest.mark.parametrize("name", REFUSED)
async def test_ambiguous_request_is_refused(origin: Any, proxy: Any, name: str) -> None:
    """It gets 4xx or 501, or the connection ends; nothing of it reaches the upstream."""
    answer = await all_answers(proxy.port, REFUSED[name])
    assert answer == b"" or answer[9:10] == b"4" or answer[9:12] == b"501"
    # What comes after it may be a request of its own, as this client meant it to be.
    assert {request.target for request in origin.requests} <= {"/smuggled", "/end"}


async def test_length_beside_chunks_has_one_meaning(origin: Any, proxy: Any) -> None:
    """With both framings chunks count; what follows is not forwarded as a request of its own."""

    async def handler(
        request: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.all("transfer-encoding"):
            await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    origin.handler = handler
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    await all_answers(proxy.port, b"POST /a HTTP/1.1\r\n" + HOST + both + SMUGGLED)
    assert all(not request.all("content-length") for request in origin.requests)
    assert [request.target for request in origin.requests] in ([], ["/a"])


async def test_bare_line_feeds_have_one_meaning(origin: Any, proxy: Any) -> None:
    """A head with bare line feeds is forwarded as it was read, in proper lines."""
    await all_answers(proxy.port, b"GET /lf HTTP/1.1\nHost: shop.test\nX: a\n\n")
    for request in origin.requests[:-1]:
        assert (request.target, request.all("host"), request.all("x")) == (
            "/lf", ["shop.test"], ["a"],
        )  # fmt: skip


async def test_absolute_target_and_host(origin: Any, proxy: Any, exchange: Any) -> None:
    """Key and upstream agree on the host of a target in absolute form."""

    async def handler(request: Any, _: Any, writer: asyncio.StreamWriter) -> None:
        (host,) = request.all("host")
        head = b"Cache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n" % len(host)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + host.encode())

    origin.handler = handler
    await exchange(proxy.port, b"GET http://evil.test/abs HTTP/1.1\r\n" + HOST + b"\r\n")
    for host in (b"shop.test", b"evil.test"):
        answer = await exchange(proxy.port, b"GET /abs HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert answer.body == host


async def test_connection_options_cannot_mislead_the_cache(
    origin: Any, proxy: Any, fetch: Any
) -> None:
    """A field that `Connection` names is hidden from the cache as well as from the upstream."""

    async def handler(_: Any, __: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nhi")

    origin.handler = handler
    await fetch(proxy.port, "/c", "Connection: x-lang, host, cookie", "X-Lang: de", "Cookie: a=1")
    (request,) = origin.requests
    assert request.all("x-lang") == []
    assert request.all("host") == ["shop.test"]
    assert request.all("cookie") == ["a=1"]


async def test_pipelined_requests_are_answered_in_order(origin: Any, proxy: Any) -> None:
    """Each of several requests sent at once gets its own response."""

    async def handler(request: Any, _: Any, writer: asyncio.StreamWriter) -> None:
        body = request.target.encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    origin.handler = handler
    heads = [b"GET /p%d HTTP/1.1\r\n" % number + HOST + b"\r\n" for number in range(5)]
    answer = await all_answers(proxy.port, b"".join(heads))
    bodies = [part.rpartition(b"\r\n")[2] for part in answer.split(b"HTTP/1.1 200")[1:]]
    assert bodies == [*(b"/p%d" % number for number in range(5)), b"/end"]

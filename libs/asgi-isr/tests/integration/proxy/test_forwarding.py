"""What of a request reaches the upstream, and what of its response the client."""

import asyncio
from typing import Any

import pytest

OK = b"HTTP/1.1 200 OK\r\n"


def replying(*parts: bytes) -> Any:
    """Return a handler that answers with these bytes."""

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(parts)

    return handler


@pytest.mark.parametrize(
    "target", ["/a%2Fb%3Fc", "/%61/../x//y?a=1&a=%20&b", "/~%E2%82%AC?q=?/", "/a;b=1?%"]
)
async def test_target_is_forwarded_as_it_came(
    origin: Any, proxy: Any, fetch: Any, target: str
) -> None:
    """Path and query reach the upstream byte by byte, whatever their encoding."""
    assert (await fetch(proxy.port, target)).status == 200
    assert [request.target for request in origin.requests] == [target]


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "M-SEARCH", "get", "PROPFIND"]
)
async def test_any_method_is_forwarded(origin: Any, proxy: Any, fetch: Any, method: str) -> None:
    """A method is a case-sensitive token that the proxy need not know (RFC 9110, 9.1)."""
    assert (await fetch(proxy.port, "/m", method=method)).status == 200
    assert [request.method for request in origin.requests] == [method]


async def test_request_fields_reach_the_upstream(origin: Any, proxy: Any, fetch: Any) -> None:
    """Fields keep repetition, its order and bytes; those of the connection stay behind."""
    await fetch(
        proxy.port, "/api/f", "X-One: 1", "Accept-Language: de", "X-One: 2", "X-High: \xe9\xff",
        "Connection: X-Gone, keep-alive", "X-Gone: 1", "Keep-Alive: 5", "TE: trailers",
        "Proxy-Authorization: Basic x", "X-Forwarded-For: 10.0.0.1", "Forwarded: for=x",
        "Accept-Encoding: br",
    )  # fmt: skip
    (request,) = origin.requests
    assert request.fields == [
        ("host", "shop.test"),
        ("x-one", "1"),
        ("x-one", "2"),
        ("accept-language", "de"),
        ("x-high", "\xe9\xff"),
        ("accept-encoding", "br"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.test"),
        ("via", "1.1 asgi-isr"),
    ]


async def test_response_fields_reach_the_client(origin: Any, proxy: Any, fetch: Any) -> None:
    """Fields keep repetition, its order and bytes; those of the connection stay behind."""
    origin.handler = replying(
        OK,
        b'Set-Cookie: a=1\r\nServer: mine\r\nSet-Cookie: b=2\r\nX-High: \xe9\r\nETag: "x"\r\n'
        b"Age: 7\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nX-Gone: 1\r\nConnection: x-gone\r\n"
        b"Keep-Alive: timeout=5\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2;ext=1\r\nhi\r\n0\r\nX-T: 1\r\n\r\n",
    )  # fmt: skip
    response = await fetch(proxy.port, "/api/f")
    assert response.fields == [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("server", "mine"),
        ("x-high", "\xe9"),
        ("etag", '"x"'),
        ("age", "7"),
        ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ("via", "1.1 asgi-isr"),
        ("content-length", "2"),
    ]
    assert response.body == b"hi"
    assert response.whole


@pytest.mark.parametrize("status", [200, 201, 206, 299, 302, 400, 404, 418, 500, 503, 599, 999])
async def test_any_final_status_passes(origin: Any, proxy: Any, fetch: Any, status: int) -> None:
    """The proxy need not know a status (RFC 9110, section 15)."""
    origin.handler = replying(b"HTTP/1.1 %d What\r\nContent-Length: 2\r\n\r\nhi" % status)
    response = await fetch(proxy.port, f"/api/{status}")
    assert (response.status, response.body, response.whole) == (status, b"hi", True)


@pytest.mark.parametrize(
    ("method", "head", "length"),
    [
        ("HEAD", OK + b"Content-Length: 100\r\n\r\n", "100"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', ""),
    ],
    ids=["HEAD", "204", "304"],
)
async def test_responses_without_content(
    origin: Any, proxy: Any, fetch: Any, *, method: str, head: bytes, length: str
) -> None:
    """HEAD, 204 and 304 end with the head, and the connection to the upstream is kept."""
    origin.handler = replying(head)
    for _ in range(2):
        response = await fetch(proxy.port, "/api/e", method=method)
        assert (response.body, response.whole) == (b"", True)
        assert response.one("content-length") == length
    assert origin.connections == 1


async def test_informational_responses_are_skipped(origin: Any, proxy: Any, fetch: Any) -> None:
    """What comes before the final response is not taken for it."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    origin.handler = replying(early, early, OK, b"Content-Length: 2\r\n\r\nhi")
    response = await fetch(proxy.port, "/api/e")
    assert (response.status, response.body, response.one("link")) == (200, b"hi", "")


async def test_connections_are_kept(origin: Any, proxy: Any, fetch: Any) -> None:
    """Requests after one another share one connection."""
    for number in range(10):
        assert (await fetch(proxy.port, f"/api/{number}")).body == b"plain"
    assert origin.connections == 1


@pytest.mark.parametrize(
    ("method", "lines", "status", "tries"),
    [
        ("GET", (), 200, 2),
        ("DELETE", (), 200, 2),
        ("POST", (), 502, 1),
        ("PUT", ("Content-Length: 0",), 200, 2),
    ],
)
async def test_closed_kept_connection(
    origin: Any, proxy: Any, fetch: Any, *, method: str, lines: tuple[str, ...], status: int,
    tries: int,
) -> None:  # fmt: skip
    """An idempotent request without content goes again when a kept connection was closed."""
    await fetch(proxy.port, "/api/first")
    met = 0

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal met
        met += 1
        if met == 1:
            writer.close()
        else:
            writer.write(OK + b"Content-Length: 0\r\n\r\n")

    origin.handler = handler
    assert (await fetch(proxy.port, "/api/next", *lines, method=method)).status == status
    assert met == tries


async def test_first_use_of_a_connection_is_not_repeated(
    origin: Any, proxy: Any, fetch: Any
) -> None:
    """An upstream that closes a new connection without a word gets no second request."""

    async def handler(_: Any, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    origin.handler = handler
    response = await fetch(proxy.port, "/api/x")
    assert response.status == 502
    assert response.one("proxy-status") == "asgi-isr; error=connection_terminated"
    assert len(origin.requests) == 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_content_of_a_request_is_forwarded(
    origin: Any, proxy: Any, exchange: Any, framing: str
) -> None:
    """Content arrives whole and framed as the client framed it."""
    sizes = [1, 70_000, 3]
    parts = [bytes([65 + index]) * size for index, size in enumerate(sizes)]

    async def handler(
        request: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.all("content-length"):
            got = await reader.readexactly(int(request.all("content-length")[0]))
        else:
            assert request.all("transfer-encoding") == ["chunked"]
            got = b""
            while size := int(await reader.readline(), 16):
                got += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        writer.write(OK + b"Content-Length: %d\r\n\r\n%b" % (len(got), got))

    origin.handler = handler
    if framing == "length":
        content = b"Content-Length: %d\r\n\r\n" % sum(sizes) + b"".join(parts)
    else:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        content = b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    response = await exchange(proxy.port, b"POST /p HTTP/1.1\r\nHost: a\r\n" + content)
    assert response.body == b"".join(parts)


async def test_get_with_content_is_not_cached(origin: Any, proxy: Any, exchange: Any) -> None:
    """Content of a GET reaches the upstream, so the cache must not see it (RFC 9110, 9.3.1)."""

    async def handler(_: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = await reader.readexactly(4)
        writer.write(OK + b"Cache-Control: max-age=60\r\nContent-Length: 4\r\n\r\n" + got)

    origin.handler = handler
    head = b"GET /g HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
    assert (await exchange(proxy.port, head + b"aaaa")).body == b"aaaa"
    assert (await exchange(proxy.port, head + b"bbbb")).body == b"bbbb"


async def test_expectation_is_answered_by_the_upstream(
    origin: Any, proxy: Any, exchange: Any
) -> None:
    """With `Expect: 100-continue` the upstream may refuse before any content is sent."""
    origin.handler = replying(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    head = b"POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    response = await exchange(proxy.port, head)
    assert response.status == 413
    assert origin.requests[0].all("expect") == ["100-continue"]


async def test_expectation_is_met(origin: Any, proxy: Any) -> None:
    """The client hears 100 (Continue) once the upstream wants the content."""

    async def handler(_: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.write(OK + b"Content-Length: 3\r\n\r\n" + await reader.readexactly(3))

    origin.handler = handler
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(
            b"POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"abc")
        assert (await reader.readuntil(b"abc")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_max_forwards_is_counted_down(origin: Any, proxy: Any, fetch: Any) -> None:
    """TRACE and OPTIONS end at the proxy when no hop is left (RFC 9110, section 7.6.2)."""
    await fetch(proxy.port, "/t", "Max-Forwards: 3", method="OPTIONS")
    assert origin.requests[0].all("max-forwards") == ["2"]
    secret = ("Max-Forwards: 0", "Cookie: secret", "Authorization: secret")
    traced = await fetch(proxy.port, "/t?q", *secret, method="TRACE")
    assert traced.body.startswith(b"TRACE /t?q HTTP/1.1\r\nhost: shop.test\r\n")
    assert b"secret" not in traced.body
    assert traced.one("content-type") == "message/http"
    assert (await fetch(proxy.port, "/t", "Max-Forwards: 0", method="OPTIONS")).status == 200
    assert len(origin.requests) == 1


async def test_a_loop_ends(origin: Any, proxy: Any, fetch: Any) -> None:
    """A request that came through this proxy again and again is not forwarded."""
    response = await fetch(proxy.port, "/l", *["Via: 1.1 asgi-isr"] * 4)
    assert response.status == 502
    assert response.one("proxy-status") == "asgi-isr; error=proxy_loop_detected"
    assert origin.requests == []


async def test_websockets_are_refused(origin: Any, proxy: Any, fetch: Any) -> None:
    """A request to upgrade gets a clear answer."""
    response = await fetch(
        proxy.port, "/ws", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    assert response.status == 501
    assert response.one("content-type") == "application/problem+json"
    assert b"WebSockets are not forwarded" in response.body
    assert origin.requests == []


async def test_paths_to_bypass_in_another_spelling(origin: Any, proxy: Any, fetch: Any) -> None:
    """No spelling of a path to be bypassed, nor one with dot segments, comes to the cache."""
    origin.handler = replying(OK, b"Cache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx")
    targets = ["/api/s", "/%61pi/s", "/x/../api/s", "/x/%2e%2e/api/s"]
    for target in targets * 2:
        assert (await fetch(proxy.port, target)).all("cache-status") in (
            [],
            ["asgi-isr; fwd=bypass"],
        )
    assert len(origin.requests) == 2 * len(targets)


async def test_spellings_of_a_path_are_pages_of_their_own(
    origin: Any, proxy: Any, fetch: Any
) -> None:
    """An upstream may tell `%2F` from `/`, so one's page is not served for the other."""

    async def handler(request: Any, _: Any, writer: asyncio.StreamWriter) -> None:
        body = request.target.encode()
        head = b"Cache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(OK + head + body)

    origin.handler = handler
    for target in ["/s%2Fx", "/s/x", "/s%2fx", "/s%3Fx"] * 2:
        assert (await fetch(proxy.port, target)).body == target.encode()
    assert len(origin.requests) == 4


async def test_odd_names_and_values_pass(origin: Any, proxy: Any, fetch: Any) -> None:
    """Every character that HTTP allows in names and values passes (RFC 9110, 5.1 and 5.5).

    But for `_` in names of requests, which upstreams take for `-`.
    """
    value = bytes([9, *range(32, 127), *range(128, 256)])
    head = OK + b"X!#$%&'*+-.^_`|~9: a" + value + b"z\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n"
    origin.handler = replying(head)
    response = await fetch(proxy.port, "/api/o", "X!#$%&'*+-.^`|~9: a" + value.decode("latin-1"))
    assert response.one("x!#$%&'*+-.^_`|~9") == "a" + value.decode("latin-1") + "z"
    assert response.all("x-empty") == [""]
    assert origin.requests[0].all("x!#$%&'*+-.^`|~9") == ["a" + value.decode("latin-1")]

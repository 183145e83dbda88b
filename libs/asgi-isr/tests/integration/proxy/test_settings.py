"""What single settings of the proxy change."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from perfcheck_embedded import LOOPBACK, free_port

LIMIT_S = 20


async def test_host_for_the_upstream(origin: Any, new_proxy: Any, fetch: Any) -> None:
    """`--upstream-host` replaces the client's `Host`, which `X-Forwarded-Host` then tells."""
    proxy = new_proxy(origin.port, "--upstream-host", "inner.test:81")
    await fetch(proxy.port, "/h")
    assert origin.requests[0].fields[0] == ("host", "inner.test:81")
    assert origin.requests[0].all("host") == ["inner.test:81"]
    assert origin.requests[0].all("x-forwarded-host") == ["shop.test"]


async def test_client_without_host(origin: Any, proxy: Any, exchange: Any) -> None:
    """A request of HTTP/1.0 without `Host` gets that of the upstream."""
    assert (await exchange(proxy.port, b"GET /old HTTP/1.0\r\n\r\n")).body == b"plain"
    assert origin.requests[0].all("host") == [f"{LOOPBACK}:{origin.port}"]
    assert origin.requests[0].all("via") == ["1.0 asgi-isr"]


async def test_trusted_clients(origin: Any, new_proxy: Any, fetch: Any) -> None:
    """With `--trust-forwarded` what proxies before this one said is kept and appended to."""
    proxy = new_proxy(origin.port, "--trust-forwarded", "--name", "edge")
    await fetch(
        proxy.port, "/t", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 10.0.0.2",
        "X-Forwarded-Proto: https", "X-Forwarded-Host: www.test", "Forwarded: for=x",
    )  # fmt: skip
    (request,) = origin.requests
    assert request.all("x-forwarded-for") == ["10.0.0.1, 10.0.0.2, 127.0.0.1"]
    assert request.all("x-forwarded-proto") == ["https"]
    assert request.all("x-forwarded-host") == ["www.test"]
    assert request.all("forwarded") == ["for=x"]
    assert request.all("via") == ["1.1 edge"]


async def test_scheme_before_the_proxy(origin: Any, new_proxy: Any, fetch: Any) -> None:
    """Pages for http and https differ, as a trusted client says; an untrusted one is not asked."""

    async def handler(request: Any, _: Any, writer: asyncio.StreamWriter) -> None:
        body = request.all("x-forwarded-proto")[0].encode()
        head = b"Cache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + body)

    origin.handler = handler
    for options, expected in ((("--trust-forwarded",), [b"https", b"http"]), ((), [b"http"] * 2)):
        proxy = new_proxy(origin.port, *options)
        for _ in range(2):
            bodies = [
                (await fetch(proxy.port, "/s", f"X-Forwarded-Proto: {scheme}")).body
                for scheme in ("https", "http")
            ]
            assert bodies == expected


async def test_query_parameters(origin: Any, new_proxy: Any, fetch: Any) -> None:
    """With `--query` pages depend on these parameters alone, and the upstream sees no others."""

    async def handler(request: Any, _: Any, writer: asyncio.StreamWriter) -> None:
        body = request.target.encode()
        head = b"Cache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + body)

    origin.handler = handler
    proxy = new_proxy(origin.port, "--query", "page,lang")
    assert (await fetch(proxy.port, "/q?utm=1&page=2")).body == b"/q?page=2"
    hit = await fetch(proxy.port, "/q?page=2&utm=2")
    assert hit.one("cache-status").startswith("asgi-isr; hit")


async def test_busy_connections(origin: Any, new_proxy: Any, fetch: Any) -> None:
    """Beyond `--connections-max` requests wait, and get 503 after the time limit."""
    proxy = new_proxy(origin.port, "--connections-max", "1", "--connect-timeout", "0.3")
    gate, started = asyncio.Event(), asyncio.Event()

    async def handler(_: Any, __: Any, writer: asyncio.StreamWriter) -> None:
        started.set()
        await gate.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin.handler = handler
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(fetch(proxy.port, "/one"))
        await started.wait()
        second = await fetch(proxy.port, "/two")
        gate.set()
    assert first.result().body == b"ok"
    assert second.status == 503
    assert second.one("proxy-status") == "asgi-isr; error=connection_limit_reached"
    assert (await fetch(proxy.port, "/three")).body == b"ok"


async def test_client_that_stops_reading(origin: Any, proxy: Any) -> None:
    """A client that takes no content for `--idle-timeout` is given up, and so is the upstream."""
    ended = asyncio.Event()

    async def handler(_: Any, __: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        finally:
            ended.set()

    origin.handler = handler
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        writer.write(b"GET /stall HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await ended.wait()
        writer.transport.abort()


async def test_client_that_stops_sending(origin: Any, proxy: Any, exchange: Any) -> None:
    """A client whose content does not come for `--idle-timeout` gets 408."""

    async def handler(_: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    origin.handler = handler
    head = b"POST /stall HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"
    assert (await exchange(proxy.port, head)).status == 408


async def test_page_that_takes_too_long(origin: Any, new_proxy: Any, fetch: Any) -> None:
    """A page to be stored that is not whole within `--render-timeout` gets 504."""

    async def handler(_: Any, __: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nab")
        await asyncio.Event().wait()

    origin.handler = handler
    proxy = new_proxy(origin.port, "--render-timeout", "0.5")
    assert (await fetch(proxy.port, "/slow")).status == 504


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_upstream_with_tls(new_proxy: Any, fetch: Any, tmp_path: Path) -> None:
    """An https upstream is verified: an unknown certificate is refused, a known one serves."""
    key, certificate, port = tmp_path / "key.pem", tmp_path / "cert.pem", free_port()
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
        f" -keyout {key} -out {certificate} -subj /CN=upstream -addext subjectAltName=IP:{LOOPBACK}"
    )
    subprocess.run(make.split(), check=True, capture_output=True, timeout=LIMIT_S)  # noqa: S603, ASYNC221  short
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, port, ssl=context)
    wary = new_proxy(port, scheme="https")
    refused = await fetch(wary.port, "/tls")
    assert refused.status == 502
    assert refused.one("proxy-status") == "asgi-isr; error=tls_certificate_error"
    knowing = new_proxy(port, scheme="https", SSL_CERT_FILE=str(certificate))
    assert (await fetch(knowing.port, "/tls")).body == b"ok"
    server.close()
    await server.wait_closed()

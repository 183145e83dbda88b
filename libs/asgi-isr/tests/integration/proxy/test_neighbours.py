"""The proxy before servers that others wrote, and beside others of its kind."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asgi_isr.events import Invalidation
from asgi_isr.testing import eventually
from perfcheck_embedded import LOOPBACK, Servers, free_port

LIMIT_S = 20
NODE = """
const http = require('node:http');
let renders = 0;
http.createServer((request, response) => {
  if (request.url === '/range') {
    response.writeHead(206, { 'Content-Range': 'bytes 0-1/4', 'Accept-Ranges': 'bytes' });
    response.end(request.headers.range === 'bytes=0-1' ? 'ab' : 'no');
  } else if (request.url === '/upload') {
    request.pipe(response);
  } else {
    renders += 1;
    response.writeHead(200, { 'Cache-Control': 'max-age=60', 'Cache-Tag': 'node' });
    response.write(`page ${renders}`);
    response.end(` of ${request.headers.host}`);
  }
}).listen(+process.argv[1], '127.0.0.1');
"""


@contextmanager
def running(*command: str, cwd: Path | None = None) -> Iterator[None]:
    """Run a server until the block ends."""
    process = subprocess.Popen(  # noqa: S603  what the test names
        command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(LIMIT_S)


async def answer(fetch: Any, proxy: Any, target: str, *lines: str, method: str = "GET") -> Any:
    """Fetch a target once the server behind the proxy is there."""

    async def answered() -> Any:
        found = await fetch(proxy.port, target, *lines, method=method)
        return found if found.status != 502 else None

    return await eventually(answered, timeout_s=LIMIT_S, poll_s=0.05)


async def test_python_file_server(new_proxy: Any, fetch: Any, tmp_path: Path) -> None:
    """Files of a server that says nothing of caching pass through: whole, HEAD, missing, 304."""
    (tmp_path / "a.txt").write_text("a file")
    port = free_port()
    serve = (sys.executable, "-m", "http.server", str(port), "--bind", LOOPBACK)
    with running(*serve, cwd=tmp_path):
        proxy = new_proxy(port)
        whole = await answer(fetch, proxy, "/a.txt")
        assert (whole.status, whole.body, whole.whole) == (200, b"a file", True)
        assert whole.one("server").startswith("SimpleHTTP/")
        assert whole.one("cache-status") == "asgi-isr; fwd=bypass; detail=no-lifetime"
        head = await answer(fetch, proxy, "/a.txt", method="HEAD")
        assert (head.body, head.one("content-length")) == (b"", "6")
        assert (await answer(fetch, proxy, "/missing")).status == 404
        assert (await answer(fetch, proxy, "/a.txt", method="BREW")).status == 501


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_node_server(new_proxy: Any, fetch: Any, exchange: Any) -> None:
    """Pages of a Node server are cached, ranges and uploads pass."""
    port = free_port()
    with running("node", "-e", NODE, str(port)):
        proxy = new_proxy(port)
        first = await answer(fetch, proxy, "/page")
        second = await answer(fetch, proxy, "/page")
        assert first.body == second.body == b"page 1 of shop.test"
        assert second.one("cache-status").startswith("asgi-isr; hit")
        part = await answer(fetch, proxy, "/range", "Range: bytes=0-1")
        assert (part.status, part.body, part.one("content-range")) == (206, b"ab", "bytes 0-1/4")
        upload = b"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"
        echoed = await exchange(proxy.port, upload + b"u" * 300_000)
        assert (echoed.body, echoed.whole) == (b"u" * 300_000, True)


async def test_two_proxies_share_log_and_store(
    origin: Any, new_proxy: Any, new_log: Any, fetch: Any, steady_servers: Servers
) -> None:
    """A page rendered by one is served by the other, and an invalidation ends it in both."""
    renders = 0

    async def handler(_: Any, __: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal renders
        renders += 1
        body = b"render %d" % renders
        head = b"Cache-Control: max-age=60\r\nCache-Tag: shared\r\nContent-Length: %d\r\n\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + head % len(body) + body)

    origin.handler = handler
    urls = ("--log", steady_servers.nats_url, "--store", steady_servers.valkey_url)
    proxies = [
        new_proxy(origin.port, *urls, "--namespace", "two", "--store-timeout", "5")
        for _ in range(2)
    ]

    async def leased(proxy: Any) -> bool:
        # Until an instance has its first lease nothing is fresh, and it says so.
        return "no-lease" not in (await fetch(proxy.port, "/warm")).one("cache-status")

    for proxy in proxies:
        await eventually(partial(leased, proxy), timeout_s=LIMIT_S, poll_s=0.05)
    renders = 0
    bodies = [(await fetch(proxy.port, "/shared")).body for proxy in proxies]
    assert bodies == [b"render 1"] * 2
    log = new_log(steady_servers.nats_url, timeout_s=10)
    await log.publish(Invalidation(tags=("shared",)))

    async def invalidated(proxy: Any) -> bool:
        return bool((await fetch(proxy.port, "/shared")).body != b"render 1")

    for proxy in proxies:
        await eventually(partial(invalidated, proxy), timeout_s=LIMIT_S)

"""The proxy's life: cold pages, a lost upstream, signals, neighbours that are not there."""

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from asgi_isr.testing import eventually
from perfcheck_embedded import LOOPBACK, free_port

LIMIT_S = 20


def page(body: bytes, cache_control: bytes) -> bytes:
    """Return a response as bytes."""
    head = b"HTTP/1.1 200 OK\r\nCache-Control: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (cache_control, len(body)) + body


async def test_cold_page_is_rendered_once(origin: Any, proxy: Any, fetch: Any) -> None:
    """64 clients that ask for a cold page at once cost the upstream one request."""
    gate = asyncio.Event()

    async def handler(_: Any, __: Any, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(page(b"cold", b"max-age=60"))

    origin.handler = handler
    async with asyncio.TaskGroup() as tasks:
        clients = [tasks.create_task(fetch(proxy.port, "/cold")) for _ in range(64)]
        await eventually(lambda: origin.requests, timeout_s=LIMIT_S)
        gate.set()
    assert {client.result().body for client in clients} == {b"cold"}
    assert len(origin.requests) == 1


async def test_failure_is_shared(origin: Any, proxy: Any, fetch: Any) -> None:
    """Clients that wait for one render get its failure, and do not each ask again."""
    gate = asyncio.Event()

    async def handler(request: Any, _: Any, writer: asyncio.StreamWriter) -> None:
        if request.target == "/fails":
            await gate.wait()
        writer.close()

    origin.handler = handler
    async with asyncio.TaskGroup() as tasks:
        clients = [tasks.create_task(fetch(proxy.port, "/fails")) for _ in range(16)]
        await eventually(lambda: origin.requests, timeout_s=LIMIT_S)
        # One that comes later may ask itself; when this is answered, those before it were read.
        assert (await fetch(proxy.port, "/api/after")).status == 502
        gate.set()
    assert {client.result().status for client in clients} == {502}
    assert [request.target for request in origin.requests].count("/fails") == 1


async def test_upstream_that_goes_and_comes_back(origin: Any, proxy: Any, fetch: Any) -> None:
    """Without an upstream: a stale page where that is allowed, else 502; then fresh again."""
    version = b"1"

    async def handler(request: Any, _: Any, writer: asyncio.StreamWriter) -> None:
        keeps = b"max-age=1, stale-if-error=60" if request.target == "/kept" else b"max-age=1"
        writer.write(page(version, keeps))

    origin.handler = handler
    for target in ("/kept", "/lost"):
        assert (await fetch(proxy.port, target)).body == b"1"
    await origin.close()

    async def lost() -> Any:
        response = await fetch(proxy.port, "/lost")
        return response if response.status != 200 else None

    lost_one = await eventually(lost, timeout_s=LIMIT_S)
    assert lost_one.status == 502
    assert lost_one.one("proxy-status") == "asgi-isr; error=connection_refused"
    kept = await fetch(proxy.port, "/kept")
    assert kept.body == b"1"
    assert "stale-if-error" in kept.one("cache-status")
    version = b"2"
    await origin.open()
    assert (await fetch(proxy.port, "/kept")).body == b"2"
    assert (await fetch(proxy.port, "/lost")).body == b"2"


async def test_signal_under_traffic(origin: Any, new_proxy: Any, fetch: Any) -> None:
    """On SIGTERM every request under way is answered whole, and the proxy ends with status 0."""
    proxy = new_proxy(origin.port)
    gate, started = asyncio.Event(), asyncio.Event()

    async def handler(request: Any, _: Any, writer: asyncio.StreamWriter) -> None:
        if request.target == "/api/slow":
            started.set()
            await gate.wait()
        writer.write(page(request.target.encode(), b"no-store"))

    origin.handler = handler
    answered: list[Any] = []

    async def client(number: int) -> None:
        while True:
            try:
                answered.append(await fetch(proxy.port, f"/traffic/{number}", "Connection: close"))
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                continue  # it was not accepted yet

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(fetch(proxy.port, "/api/slow"))
        for number in range(8):
            tasks.create_task(client(number))
        await started.wait()
        await eventually(lambda: len(answered) > 100, timeout_s=LIMIT_S)
        proxy.process.send_signal(signal.SIGTERM)
        await eventually(lambda: not proxy.accepts(), timeout_s=LIMIT_S)
        gate.set()
    assert slow.result().body == b"/api/slow"
    assert all(response.whole for response in answered if response.status)
    assert await asyncio.to_thread(proxy.process.wait, LIMIT_S) == 0


async def test_stop_with_an_open_stream(origin: Any, new_proxy: Any) -> None:
    """A stream without end does not hold the proxy up beyond `--stop-timeout`."""
    proxy = new_proxy(origin.port, "--stop-timeout", "1")

    async def handler(_: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\ndata: 0\n\n")
        await reader.read()
        writer.close()

    origin.handler = handler
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"data: 0\n\n")
        assert await asyncio.to_thread(proxy.stop) == 0
        assert await reader.read() == b"\r\n"  # the end of that chunk, and no last chunk
        writer.close()


async def test_interrupt(origin: Any, new_proxy: Any) -> None:
    """Ctrl-C ends the proxy with status 0."""
    proxy = new_proxy(origin.port)
    proxy.process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(proxy.process.wait, LIMIT_S) == 0


async def test_workers_follow_the_main_process(origin: Any, new_proxy: Any, fetch: Any) -> None:
    """When the main process is killed, its worker leaves the port."""
    proxy = new_proxy(origin.port)
    assert (await fetch(proxy.port, "/w")).status == 200
    os.kill(proxy.process.pid, signal.SIGKILL)
    proxy.process.wait()
    await eventually(lambda: not proxy.accepts(), timeout_s=LIMIT_S)


async def test_two_workers(origin: Any, new_proxy: Any, fetch: Any) -> None:
    """Several workers share the port, and end in order."""
    proxy = new_proxy(origin.port, "--workers", "2")
    for number in range(20):
        assert (await fetch(proxy.port, f"/{number}")).body == b"plain"
    assert await asyncio.to_thread(proxy.stop) == 0


async def test_neighbours_that_are_not_there(new_proxy: Any, fetch: Any) -> None:
    """Without upstream, log and store the proxy runs and answers."""
    nowhere = free_port()
    proxy = new_proxy(
        nowhere, "--log", f"nats://{LOOPBACK}:{nowhere}", "--store", f"redis://{LOOPBACK}:{nowhere}",
        ready="forwards to",
    )  # fmt: skip
    response = await fetch(proxy.port, "/x")
    assert response.status == 502
    assert await asyncio.to_thread(proxy.stop) == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 2, "--upstream"),
        (["--upstream", "127.0.0.1:3000"], 2, "give scheme, host and port"),
        (["--upstream", "http://a", "--listen", "8080"], 2, "--listen"),
    ],
)
def test_wrong_command_line(arguments: list[str], status: int, said: str) -> None:
    """A command line that is not valid ends with status 2 and says what would be."""
    done = run(arguments)
    assert done.returncode == status
    assert said in done.stderr


async def test_taken_address(origin: Any) -> None:
    """A taken address is told in one line, with status 1."""
    taken = f"{LOOPBACK}:{origin.port}"
    done = await asyncio.to_thread(run, ["--upstream", "http://127.0.0.1:1", "--listen", taken])
    assert done.returncode == 1
    assert f"cannot listen on {taken}" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_package() -> None:
    """Without its packages the command says how to install them."""
    # -S leaves site-packages out; msgspec and our own package are put back.
    code = (
        "import sys, msgspec, asgi_isr.errors; sys.modules['granian'] = None;"
        "sys.argv[1:] = ['proxy', '--upstream', 'http://a'];"
        "from asgi_isr.proxy.__main__ import main; main()"
    )
    done = subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 2
    assert "pip install 'asgi-isr[proxy,redis,nats]'" in done.stderr


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the command with arguments that end it."""
    return subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "asgi_isr.proxy", "proxy", *arguments],
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip

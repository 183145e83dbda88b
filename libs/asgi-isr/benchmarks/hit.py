"""CPU time of a hit beside a bare Granian ASGI app with the same bytes, both in one run.

    python libs/asgi-isr/benchmarks/hit.py [--rounds 7] [--requests 20000] [--json]

Prints, for each kind of request, the server's CPU microseconds per request (user and system, all
its processes; median over the rounds) and the ratio to the bare app.
"""

import argparse
import asyncio
import json
import platform
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent
START_TIMEOUT_S = 20.0
REQUEST_TIMEOUT_S = 60.0
CONNECTIONS = 16
STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Server:
    """A Granian process with one worker."""

    def __init__(self, factory: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter and file
            [
                sys.executable, "-m", "granian", "--interface", "asgi", "--loop", "uvloop",
                "--http", "1", "--no-ws", "--workers", "1", "--log-level", "warning",
                "--host", "127.0.0.1", "--port", str(self.port), "--factory", f"apps:{factory}",
            ],
            cwd=HERE,
        )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise SystemExit("the benchmark's server did not start") from None
                time.sleep(0.05)
            else:
                return

    def cpu_s(self) -> float:
        """Return the CPU seconds that all processes of this server have used."""
        main = psutil.Process(self._process.pid)
        times = [process.cpu_times() for process in (main, *main.children(recursive=True))]
        return sum(used.user + used.system for used in times)

    def stop(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(10)


class Client(asyncio.Protocol):
    """One kept-alive connection that sends the same request again and again."""

    def __init__(self, request: bytes, expected: int, count: int) -> None:
        self._request = request
        self._expected = str(expected).encode()
        self._left = count
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport
            transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end]
        length = LENGTH.search(head)
        if len(self._buffer) < end + 4 + (int(length[1]) if length else 0):
            return
        status = STATUS.match(head)
        if status is None or status[1] != self._expected:
            self.done.set_exception(RuntimeError(f"unexpected answer: {head[:200]!r}"))
            return
        self._buffer = b""
        self._left -= 1
        if self._transport is None or not self._left:
            self.done.set_result(None)
            return
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or RuntimeError("the server closed the connection"))


async def load(port: int, fields: bytes, expected: int, requests: int) -> None:
    """Send `requests` requests over kept-alive connections."""
    loop = asyncio.get_running_loop()
    request = b"GET /page HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n"
    clients = []
    for _ in range(CONNECTIONS):
        transport, client = await loop.create_connection(
            lambda: Client(request, expected, requests // CONNECTIONS), "127.0.0.1", port
        )
        clients.append((transport, client))
    async with asyncio.timeout(REQUEST_TIMEOUT_S):
        await asyncio.gather(*(client.done for _, client in clients))
    for transport, _ in clients:
        transport.close()


def measure(server: Server, fields: bytes, expected: int, requests: int) -> float:
    """Return the server's CPU microseconds per request."""
    before = server.cpu_s()
    asyncio.run(load(server.port, fields, expected, requests))
    return (server.cpu_s() - before) / (requests // CONNECTIONS * CONNECTIONS) * 1e6


async def etag_of(port: int) -> bytes:
    """Return the page's ETag as the cache gives it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).lower()
    writer.close()
    found = re.search(rb"etag: (\S+)", head)
    if found is None:
        raise SystemExit("the cache sent no ETag")
    return found[1]


def run(rounds: int, requests: int) -> dict[str, list[float]]:
    """Measure every case in every round, the bare app first in each."""
    bare, cached = Server("plain"), Server("cached")
    try:
        etag = asyncio.run(etag_of(cached.port))
        cases: list[tuple[str, Server, bytes, int]] = [
            ("bare ASGI", bare, b"", 200),
            ("hit", cached, b"", 200),
            ("hit, gzip", cached, b"Accept-Encoding: gzip\r\n", 200),
            ("hit, 304", cached, b"If-None-Match: " + etag + b"\r\n", 304),
        ]
        for _, server, fields, expected in cases:
            measure(server, fields, expected, requests // 4)  # warm up
        figures: dict[str, list[float]] = {name: [] for name, *_ in cases}
        for _ in range(rounds):
            for name, server, fields, expected in cases:
                figures[name].append(measure(server, fields, expected, requests))
        return figures
    finally:
        bare.stop()
        cached.stop()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = run(options.rounds, options.requests)
    base = figures["bare ASGI"]
    rows = [
        {
            "case": name,
            "cpu_us": round(statistics.median(values), 1),
            "ratio": round(statistics.median(v / b for v, b in zip(values, base, strict=True)), 2),
            "ratios": [round(v / b, 2) for v, b in zip(values, base, strict=True)],
        }
        for name, values in figures.items()
    ]
    if options.json:
        print(json.dumps({"python": platform.python_version(), "rows": rows}, indent=2))
        return
    print(f"CPU per request, {options.rounds} rounds of {options.requests} requests, 12.7 KB page")
    print(f"{'':<12}{'µs':>8}{'ratio':>8}  ratio of each round")
    for row in rows:
        print(f"{row['case']:<12}{row['cpu_us']:>8}{row['ratio']:>8}  {row['ratios']}")


if __name__ == "__main__":
    main()

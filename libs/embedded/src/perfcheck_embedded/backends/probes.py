"""Readiness checks that speak just enough of each protocol; no driver needed.

Each check opens one connection, is bounded by `ATTEMPT_TIMEOUT_S`, and returns whether the server
answers as one that is ready. Connection errors are left to the supervisor, which counts them as
"not yet".
"""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from perfcheck_embedded.ports import LOOPBACK
from perfcheck_embedded.processes.process import Probe

ATTEMPT_TIMEOUT_S = 2.0
_LINE_BYTES_MAX = 64 * 1024


@contextlib.asynccontextmanager
async def _connected(
    host: str, port: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host, port, limit=_LINE_BYTES_MAX)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def postgres_ready(port: int, *, user: str, database: str) -> Probe:
    """Return a check that PostgreSQL asks for a password, i.e. accepts connections.

    While it starts or recovers it answers the startup packet with an error (57P03) instead.
    """
    fields = f"user\0{user}\0database\0{database}\0\0".encode()
    startup = struct.pack("!II", 8 + len(fields), 196608) + fields  # protocol 3.0

    async def ready() -> bool:
        async with _connected(LOOPBACK, port) as (reader, writer):
            writer.write(startup)
            return await reader.readexactly(1) == b"R"

    return ready


def valkey_ready(port: int, *, password: str) -> Probe:
    """Return a check that Valkey takes the password and answers PING with PONG.

    While it loads it answers an error instead.
    """

    async def ready() -> bool:
        async with _connected(LOOPBACK, port) as (reader, writer):
            writer.write(f"AUTH {password}\r\nPING\r\n".encode())
            return [await reader.readline(), await reader.readline()] == [b"+OK\r\n", b"+PONG\r\n"]

    return ready


def nats_ready(port: int, *, user: str, password: str) -> Probe:
    """Return a check that NATS has JetStream, lets the user in and answers PING.

    Where it wants TLS, its first line is enough: it takes clients from then on.
    """
    connect = json.dumps({"verbose": False, "user": user, "pass": password})

    async def ready() -> bool:
        async with _connected(LOOPBACK, port) as (reader, writer):
            verb, _, line = (await reader.readline()).partition(b" ")
            info = json.loads(line) if verb == b"INFO" else {}
            if not info.get("jetstream"):
                return False
            if info.get("tls_required"):
                return True
            writer.write(f"CONNECT {connect}\r\nPING\r\n".encode())
            return await reader.readline() == b"PONG\r\n"

    return ready


def http_ready(url: str) -> Probe:
    """Return a check that a GET of `url` (http only) is answered with status 200."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        raise ValueError(f"expected an http:// address, got {url!r}")
    host, port = parts.hostname, parts.port or 80
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()

    async def ready() -> bool:
        async with _connected(host, port) as (reader, writer):
            writer.write(request)
            status = (await reader.readline()).split(b" ", 2)[1:2]
            return status == [b"200"]

    return ready

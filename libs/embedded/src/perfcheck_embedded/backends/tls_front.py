"""TLS in front of a server that speaks none: the wheels of PostgreSQL and Valkey are built without.

It ends TLS and passes bytes on, as a load balancer or stunnel does. For tests.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from perfcheck_embedded.backends.server import TlsFiles
from perfcheck_embedded.ports import LOOPBACK

HANDSHAKE_S_MAX = 5.0
_CHUNK_BYTES_MAX = 64 * 1024
# PostgreSQL's SSLRequest, and the answer that TLS may begin (its manual, "SSL Session Encryption").
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_SSL_ACCEPTED = b"S"


@asynccontextmanager
async def tls_front(port: int, files: TlsFiles, *, postgres: bool = False) -> AsyncIterator[int]:
    """Give a port on 127.0.0.1 that speaks TLS and leads to `port` there.

    With `postgres` TLS begins after PostgreSQL's request for it, else with the first byte.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            await _serve(reader, writer, port, context if postgres else None)
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=None if postgres else context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    port: int,
    start: ssl.SSLContext | None,
) -> None:
    async with asyncio.timeout(HANDSHAKE_S_MAX):
        if start is not None:
            if await reader.readexactly(len(_SSL_REQUEST)) != _SSL_REQUEST:
                return
            writer.write(_SSL_ACCEPTED)
            await writer.start_tls(start)
        behind_reader, behind_writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_pass_on(reader, behind_writer))
            both.create_task(_pass_on(behind_reader, writer))
    except* OSError:
        pass  # either side went away
    finally:
        behind_writer.close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK_BYTES_MAX):
        target.write(chunk)
        await target.drain()
    target.close()

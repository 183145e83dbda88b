"""A bounded pool of kept-alive connections to one origin."""

import asyncio
import errno
import socket
import ssl
from typing import NamedTuple

from asgi_isr.proxy.connection import Connection
from asgi_isr.proxy.errors import UpstreamError

KEPT_IDLE_S = 4.0  # below the 5 s after which common servers close an idle connection


class Origin(NamedTuple):
    """Where the upstream listens, and whether with TLS."""

    host: str
    port: int
    tls: bool = False

    @property
    def authority(self) -> str:
        """The value of `Host` that names it (RFC 9112, section 3.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Pool:
    """At most `connections_max` connections; the one returned last is taken first.

    Waiting for a free one and opening one each end within `connect_timeout_s`.
    """

    def __init__(self, origin: Origin, *, connections_max: int, connect_timeout_s: float) -> None:
        self._origin = origin
        self._connect_timeout_s = connect_timeout_s
        self._tls = ssl.create_default_context() if origin.tls else None
        self._slots = asyncio.Semaphore(connections_max)
        self._idle: dict[Connection, asyncio.TimerHandle] = {}

    async def take(self, *, fresh: bool = False) -> Connection:
        """Return a connection, a new one if `fresh`; give it back. Raises `UpstreamError`."""
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._slots.acquire()
        except TimeoutError as error:
            raise UpstreamError("connection_limit_reached", "every connection is busy") from error
        try:
            return (None if fresh else self._kept()) or await self._open()
        except BaseException:
            self._slots.release()
            raise

    def give_back(self, connection: Connection) -> None:
        """End the exchange; keep the connection for the next one if it allows that."""
        self._slots.release()
        connection.end()
        if connection.open:
            timer = asyncio.get_running_loop().call_later(KEPT_IDLE_S, self._expire, connection)
            self._idle[connection] = timer

    def close(self) -> None:
        """Close the idle connections."""
        for connection, timer in self._idle.items():
            timer.cancel()
            connection.close()
        self._idle.clear()

    def _kept(self) -> Connection | None:
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            if connection.open:
                return connection
        return None

    def _expire(self, connection: Connection) -> None:
        del self._idle[connection]
        connection.close()

    async def _open(self) -> Connection:
        origin = self._origin
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection, origin.host, origin.port, ssl=self._tls
                )
        except TimeoutError as error:
            reason = f"no connection within {self._connect_timeout_s:g} s"
            raise UpstreamError("connection_timeout", reason) from error
        except OSError as error:
            raise UpstreamError(_cause(error), str(error)) from error
        return connection


def _cause(error: OSError) -> str:
    """Return the error type of RFC 9209, section 2.3, for a connection that did not come about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls_certificate_error"
    if isinstance(error, ssl.SSLError):
        return "tls_protocol_error"
    if isinstance(error, socket.gaierror):
        return "dns_error"
    if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
        return "destination_ip_unroutable"
    return "connection_refused" if error.errno == errno.ECONNREFUSED else "destination_unavailable"

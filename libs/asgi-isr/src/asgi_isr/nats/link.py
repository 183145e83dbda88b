"""`Link`: a connection that is opened when it is first needed."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError

from asgi_isr.errors import LogUnavailableError
from asgi_isr.nats.connection import close, connect
from asgi_isr.nats.requests import PubAck, request

__all__ = ["NATS_REQUEST_S_MAX", "Link"]

NATS_REQUEST_S_MAX = 2.0
T = TypeVar("T")


class _Opening:
    """What belongs to one event loop, from the first call until `close`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.client: Client | None = None
        self.connecting = asyncio.Lock()


class Link:
    """One connection to NATS for many users, who need not know whether it stands.

    `connection` is a client of the caller's, who closes it, or a URL: then the first call connects,
    and again after the server refused the client for good. `name` is how the server shows it,
    `on_change` and `tls_ca_file` are as in `connect`. Every call ends within `timeout_s`, or three
    times that where it has to wait for a connection; failures are `LogUnavailableError`. After
    `close` the next call connects again, in another event loop too; open in two at once is a
    `RuntimeError`.
    """

    def __init__(
        self,
        connection: Client | str,
        *,
        name: str,
        timeout_s: float = NATS_REQUEST_S_MAX,
        on_change: Callable[[], None] | None = None,
        tls_ca_file: str = "",
    ) -> None:
        self._url = connection if isinstance(connection, str) else ""
        self._given = connection if isinstance(connection, Client) else None
        if self._given is None and not self._url:
            raise TypeError(f"connection: expected a URL or a nats-py Client, got {connection!r}")
        self._name = name
        self._timeout_s = timeout_s
        self._on_change = on_change
        self._tls_ca_file = tls_ca_file
        self._opening: _Opening | None = None

    async def client(self) -> Client:
        """Return the client, which may be reconnecting; raise `LogUnavailableError`."""
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        opening = self._opening
        if opening is None or opening.loop.is_closed():
            opening = self._opening = _Opening(loop)
        elif opening.loop is not loop:
            raise RuntimeError("this connection to NATS is open in another event loop")
        if opening.client is not None and not opening.client.is_closed:
            return opening.client
        try:
            async with asyncio.timeout(self._timeout_s):
                await opening.connecting.acquire()
        except TimeoutError as error:
            raise LogUnavailableError("still connecting to NATS") from error
        try:
            return await self._connected(opening)
        finally:
            opening.connecting.release()

    async def request(
        self, subject: str, body: bytes, reply: type[T], headers: Mapping[str, str] | None = None
    ) -> T:
        """Send a request and return its answer; raises as `asgi_isr.nats.request` does."""
        client = await self.client()
        return await request(
            client, subject, body, reply, timeout_s=self._timeout_s, headers=headers
        )

    async def publish(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> PubAck:
        """Publish into a stream; return once the stream has it."""
        return await self.request(subject, body, PubAck, headers)

    async def tell(self, subject: str, body: bytes) -> None:
        """Publish to whoever listens; nobody acknowledges it."""
        client = await self.client()
        if not client.is_connected:
            raise LogUnavailableError("not connected to NATS; reconnecting")
        try:
            await client.publish(subject, body)
        except (NatsError, OSError) as error:
            raise LogUnavailableError(f"cannot publish to {subject}: {error}") from error

    async def close(self) -> None:
        """Close the connection if it was opened here; who waits for one gets an error."""
        opening, self._opening = self._opening, None
        if opening is not None and opening.client is not None and not opening.loop.is_closed():
            await close(opening.client)

    async def _connected(self, opening: _Opening) -> Client:
        self._check(opening)
        client = opening.client
        # A client that the server refused for good is closed; a new one may be let in.
        if client is None or client.is_closed:
            client = await connect(
                self._url,
                name=self._name,
                timeout_s=self._timeout_s,
                on_change=self._on_change,
                tls_ca_file=self._tls_ca_file,
            )
            if opening is not self._opening:
                await close(client)
            self._check(opening)
            opening.client = client
        return client

    def _check(self, opening: _Opening) -> None:
        if opening is not self._opening:
            raise LogUnavailableError("the connection to NATS was closed meanwhile")

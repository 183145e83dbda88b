"""The connection to NATS: opened when it is first needed, opened anew when it was closed for good.

`Outlet` publishes into a stream of ours until the stream has taken it, and creates the stream where
it is missing: what waits behind it stays in the log meanwhile.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from asgi_isr.backoff import wait_s
from asgi_isr.errors import LogUnavailableError
from asgi_isr.logs.nats import close, connect
from asgi_isr.nats.requests import STREAM_NOT_FOUND, RefusedError, request
from nats.aio.client import Client

__all__ = ["TIMEOUT_S", "Broker", "Outlet"]

TIMEOUT_S = 2.0
_RETRY_S = 0.1
_RETRY_S_MAX = 5.0
_API = "$JS.API"
_log = logging.getLogger(__name__)

T = TypeVar("T")


class _Ack(msgspec.Struct, frozen=True):
    stream: str
    seq: int


class _Any(msgspec.Struct, frozen=True):
    """An answer of which only counts that it is no error."""


class Broker:
    """One connection for all that a replica does; `name` is how the server shows it."""

    def __init__(self, url: str, *, name: str, tls_ca_file: str = "") -> None:
        self._tls_ca_file = tls_ca_file
        self._url = url
        self._name = name
        self._lock = asyncio.Lock()
        self._open: Client | None = None

    async def client(self) -> Client:
        """Return the connection; raise `LogUnavailableError` if none stands within 4 s."""
        try:
            async with asyncio.timeout(2 * TIMEOUT_S), self._lock:
                if self._open is None or self._open.is_closed:
                    self._open = await connect(
                        self._url, name=self._name, timeout_s=TIMEOUT_S,
                        tls_ca_file=self._tls_ca_file,
                    )  # fmt: skip
                return self._open
        except TimeoutError as error:
            raise LogUnavailableError("others still try to connect to NATS") from error

    async def ask(self, subject: str, question: Mapping[str, Any], answer: type[T]) -> T:
        """Ask JetStream's API; raise `LogUnavailableError`, or its `RefusedError`."""
        body = msgspec.json.encode(question) if question else b""
        client = await self.client()
        return await request(client, f"{_API}.{subject}", body, answer, timeout_s=TIMEOUT_S)

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Publish into a stream; return the sequence, once the stream has acknowledged it."""
        client = await self.client()
        ack = await request(client, subject, body, _Ack, timeout_s=TIMEOUT_S, headers=headers)
        return ack.seq

    async def ensure_stream(self, config: Mapping[str, Any]) -> None:
        """Create a stream unless one of its name exists; that one is taken as it is."""
        name = config["name"]
        try:
            await self.ask(f"STREAM.INFO.{name}", {}, _Any)
        except RefusedError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
            await self.ask(f"STREAM.CREATE.{name}", config, _Any)

    async def close(self) -> None:
        """Close the connection, if one was opened."""
        if self._open is not None:
            await close(self._open)


class Outlet:
    """A stream that takes what this service has to say; `failure` is why it does not at present."""

    def __init__(self, broker: Broker, config: Mapping[str, Any]) -> None:
        self._broker = broker
        self._config = config
        self.failure: str | None = None

    async def put(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish until the stream has taken it; give it up only by being cancelled."""
        attempt = 0
        while True:
            try:
                await self._broker.publish(subject, body, headers or {})
            except LogUnavailableError as error:
                attempt += 1
                self._failed(str(error))
            else:
                self._succeeded()
                return
            with suppress(LogUnavailableError):  # told by the attempt that follows
                await self.ensure()
            drawn = random.random()  # noqa: S311  jitter, not a secret
            pause_s = wait_s(attempt, first_s=_RETRY_S, max_s=_RETRY_S_MAX, drawn=drawn)
            await asyncio.sleep(pause_s)

    async def ensure(self) -> None:
        """Create the stream where it is missing; raises `LogUnavailableError`."""
        await self._broker.ensure_stream(self._config)

    def _failed(self, reason: str) -> None:
        if self.failure is None:
            _log.warning("%s takes nothing, trying again: %s", self._config["name"], reason)
        self.failure = reason

    def _succeeded(self) -> None:
        if self.failure is not None:
            _log.info("%s takes messages again", self._config["name"])
        self.failure = None

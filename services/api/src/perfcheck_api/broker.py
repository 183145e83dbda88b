"""The relay's side of NATS JetStream: publish in order, look at the log, replace a broken one.

A connection is never mended in place: whatever breaks it ends the relay's session, and the next
session looks at the log again before it publishes (rule 7 of the coherence protocol).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

from asgi_isr.events import MARK_REQUEST_SUBJECT, STREAM
from asgi_isr.logs.nats import close, connect, ensure_instances_stream, ensure_stream
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from perfcheck_api.errors import ApiError

CONNECT_TIMEOUT_S = 2.0
REQUEST_TIMEOUT_S = 2.0
_ID_HEADER = "Nats-Msg-Id"

ResultT = TypeVar("ResultT")


class BrokerError(ApiError):
    """The broker is out of reach, did not answer in time, or refused; says which."""


class LogState(NamedTuple):
    """The log as it is: `created_at` is the sequence that its first message got or will get."""

    created_at: int
    first: int
    last: int


class Receipt(NamedTuple):
    """The broker holds the message at `seq`; `duplicate` when it held it already."""

    seq: int
    duplicate: bool


class Broker:
    """One connection to NATS. Every method raises `BrokerError`, within a bounded time."""

    def __init__(self, client: Client, broken: asyncio.Event) -> None:
        self._client = client
        self._js = client.jetstream(timeout=REQUEST_TIMEOUT_S)
        self._broken = broken

    async def wait_until_broken(self) -> None:
        """Return when the connection is gone; the session must end then."""
        await self._broken.wait()

    async def ensure_log(self) -> bool:
        """Create the stream unless it exists; return whether it was created."""
        created = await self._bounded("create the stream", ensure_stream(self._js))
        await self._bounded("create the stream of instances", ensure_instances_stream(self._js))
        return created

    async def state(self) -> LogState | None:
        """Return what the stream holds, or None if there is no stream."""
        try:
            info = await self._bounded("read the stream's state", self._js.stream_info(STREAM))
        except _MissingError:
            return None
        return LogState(info.config.first_seq or 0, info.state.first_seq, info.state.last_seq)

    async def message_id(self, seq: int) -> str | None:
        """Return the id of the message at `seq`, or None if there is none."""
        try:
            message = await self._bounded("read a message", self._js.get_msg(STREAM, seq=seq))
        except _MissingError:
            return None
        return str((message.headers or {}).get(_ID_HEADER, ""))

    async def replace_log(self) -> None:
        """Delete the stream if it exists, and create it anew beyond every sequence ever used."""
        with contextlib.suppress(_MissingError):
            await self._bounded("delete the stream", self._js.delete_stream(STREAM))
        await self.ensure_log()

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str]) -> Receipt:
        """Publish one message with a `Nats-Msg-Id` and wait until the stream has it."""
        ack = await self._bounded(
            "publish",
            self._js.publish(
                subject, body, timeout=REQUEST_TIMEOUT_S, stream=STREAM, headers=dict(headers)
            ),
        )
        return Receipt(ack.seq, bool(ack.duplicate))

    async def listen_for_mark_requests(self, accept: Callable[[str], None]) -> None:
        """Call `accept` with the reply subject of each request for a mark from now on."""

        async def received(message: Msg) -> None:
            if message.reply:
                accept(message.reply)

        await self._bounded("subscribe", self._client.subscribe(MARK_REQUEST_SUBJECT, cb=received))
        # The server has the subscription once it answered a ping that was sent after it.
        await self._bounded("subscribe", self._client.flush())

    async def reply(self, subjects: list[str], body: bytes) -> None:
        """Send `body` to each of `subjects`."""
        for subject in subjects:
            await self._bounded("reply", self._client.publish(subject, body))

    async def _bounded(self, what: str, action: Awaitable[ResultT]) -> ResultT:
        try:
            async with asyncio.timeout(2 * REQUEST_TIMEOUT_S):
                return await action
        except NotFoundError as error:
            raise _MissingError(f"cannot {what}: {error}") from error
        except (NatsError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise BrokerError(f"cannot {what}: {reason}") from error


class _MissingError(BrokerError):
    """The stream or the message does not exist."""


@asynccontextmanager
async def connected(url: str, *, name: str, tls_ca_file: str = "") -> AsyncGenerator[Broker, None]:
    """Connect to NATS; close the connection at the end.

    Raises:
        asgi_isr.errors.LogUnavailableError: if NATS does not answer in time.

    """
    broken = asyncio.Event()
    client = await connect(
        url,
        name=name,
        timeout_s=CONNECT_TIMEOUT_S,
        on_change=broken.set,
        tls_ca_file=tls_ca_file,
    )
    try:
        yield Broker(client, broken)
    finally:
        await close(client)

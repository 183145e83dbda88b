"""The relay's side of NATS JetStream: publish in order, look at the log, replace a broken one.

A connection is never mended in place: whatever breaks it ends the relay's session, and the next
session looks at the log again before it publishes (rule 7 of the coherence protocol).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

import msgspec
from asgi_isr.events import MARK_REQUEST_SUBJECT, STREAM
from asgi_isr.logs.nats import (
    close,
    connect,
    ensure_instances_stream,
    ensure_stream,
    keeping_cancellation,
)
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


class Message(NamedTuple):
    """A message for the log; its headers have a `Nats-Msg-Id`."""

    subject: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def size_bytes(self) -> int:
        """Return the size that the broker compares with its limits: headers and body."""
        lines = sum(
            len(name.encode()) + len(text.encode()) + 4 for name, text in self.headers.items()
        )
        return len("NATS/1.0\r\n\r\n") + lines + len(self.body)


class Sent(NamedTuple):
    """What became of messages: receipts of the first ones, and why the next one has none."""

    receipts: list[Receipt]
    error: "BrokerError | None"


class Broker:
    """One connection to NATS. Every method raises `BrokerError`, within a bounded time."""

    def __init__(self, client: Client, broken: asyncio.Event) -> None:
        self._client = client
        self._js = client.jetstream(timeout=REQUEST_TIMEOUT_S)
        self._broken = broken
        self._window: _Window | None = None

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

    async def message_bytes_max(self) -> int:
        """Return the size of the largest message that the log takes, headers and body."""
        info = await self._bounded("read the stream's limits", self._js.stream_info(STREAM))
        limit = info.config.max_msg_size or -1
        payload: int = self._client.max_payload
        return payload if limit < 0 else min(payload, limit)

    async def replace_log(self) -> None:
        """Delete the stream if it exists, and create it anew beyond every sequence ever used."""
        with contextlib.suppress(_MissingError):
            await self._bounded("delete the stream", self._js.delete_stream(STREAM))
        await self.ensure_log()

    async def publish(self, message: Message) -> Receipt:
        """Publish one message and wait until the stream has it."""
        ack = await self._bounded(
            "publish",
            self._js.publish(
                message.subject,
                message.body,
                timeout=REQUEST_TIMEOUT_S,
                stream=STREAM,
                headers=dict(message.headers),
            ),
        )
        return Receipt(ack.seq, bool(ack.duplicate))

    async def publish_ahead(self, messages: Sequence[Message]) -> Sent:
        """Publish all without waiting in between, then wait until each has an answer.

        Where one is refused, those after it may stand in the log all the same.
        """
        if self._window is None:
            self._window = _Window(self._client)
            await self._bounded("subscribe", self._window.open())
        return await self._bounded("publish", self._window.send(messages))

    async def listen_for_mark_requests(self, accept: Callable[[str], None]) -> None:
        """Call `accept` with the reply subject of each request for a mark from now on."""

        async def received(message: Msg) -> None:
            # Nothing but an inbox: this user may publish where the one who asks may not.
            if message.reply.startswith("_INBOX"):
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
            async with asyncio.timeout(2 * REQUEST_TIMEOUT_S), keeping_cancellation():
                return await action
        except NotFoundError as error:
            raise _MissingError(f"cannot {what}: {error}") from error
        except (NatsError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise BrokerError(f"cannot {what}: {reason}") from error


class _Refusal(msgspec.Struct):
    description: str = ""


class _Answer(msgspec.Struct):
    """JetStream's answer to a published message."""

    seq: int = 0
    duplicate: bool = False
    error: _Refusal | None = None


class _Window:
    """Messages sent ahead of their answers, each with a reply subject of our one inbox.

    nats-py's `publish_async` does the same for 25 to 30 µs of CPU a message; this takes 15, and a
    request for each, one after the other, 80 (measured on two cores with uvloop).
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox: str = client.new_inbox()
        self._sent = 0  # messages of this connection: late answers of an old window match none
        self._answers: dict[int, bytes | None] = {}
        self._unanswered = 0
        self._all_answered = asyncio.Event()

    async def open(self) -> None:
        await self._client.subscribe(f"{self._inbox}.*", cb=self._received)

    async def send(self, messages: Sequence[Message]) -> Sent:
        first, self._sent = self._sent, self._sent + len(messages)
        self._answers = dict.fromkeys(range(first, self._sent))
        self._unanswered = len(messages)
        self._all_answered.clear()
        for number, message in enumerate(messages, start=first):
            await self._client.publish(
                message.subject,
                message.body,
                reply=f"{self._inbox}.{number}",
                headers=dict(message.headers),
            )
        with contextlib.suppress(TimeoutError):  # then some have no answer
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._all_answered.wait()
        receipts: list[Receipt] = []
        for answer in self._answers.values():
            try:
                receipts.append(_receipt(answer))
            except BrokerError as error:
                return Sent(receipts, error)
        return Sent(receipts, None)

    async def _received(self, message: Msg) -> None:
        number = int(message.subject.rpartition(".")[2])
        if self._answers.get(number, b"") is None:
            self._answers[number] = message.data
            self._unanswered -= 1
            if not self._unanswered:
                self._all_answered.set()


def _receipt(answer: bytes | None) -> Receipt:
    """Read an answer. Raises `BrokerError` for a refusal, and where there is none."""
    if answer is None:
        raise BrokerError(f"cannot publish: no answer within {REQUEST_TIMEOUT_S:g} s")
    if not answer:  # the server's own answer: status 503
        raise BrokerError(f"cannot publish: the stream {STREAM} does not exist")
    try:
        decoded = msgspec.json.decode(answer, type=_Answer)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BrokerError(f"cannot publish: an answer of another form: {error}") from error
    if decoded.error is not None:
        raise BrokerError(f"cannot publish: {decoded.error.description}")
    return Receipt(decoded.seq, decoded.duplicate)


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

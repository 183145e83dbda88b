"""The relay's side of NATS JetStream: publish in order, look at the log, replace a broken one.

A connection is not used again after it broke: whatever breaks it ends the relay's session, and the
next session looks at the log again before it publishes (rule 7 of the coherence protocol).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import MARK_REQUEST_SUBJECT, STREAM, SUBJECT_PREFIX
from asgi_isr.logs.nats import ensure_instances_stream, ensure_stream, repair_streams
from asgi_isr.nats import (
    NO_MESSAGE_FOUND,
    STREAM_NOT_FOUND,
    ConsumerSpec,
    Link,
    PubAck,
    RefusedError,
    StoredReply,
    close,
    connect,
    ensure_consumer,
    keeping_cancellation,
    request,
)
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from perfcheck_contracts import EVENT_CONSUMERS

from perfcheck_api.errors import BrokerError
from perfcheck_api.outbox.model import MARK_SUBJECT, OUTBOX_SUBJECT, OWN_SUBJECTS
from perfcheck_api.outbox.window import (
    BROKER_REQUEST_S_MAX,
    MESSAGE_ID_HEADER,
    Message,
    Sent,
    Window,
)
from perfcheck_api.outbox.witness import WITNESS_HEADER, Witness, decode

BROKER_CONNECT_S_MAX = 2.0
_INBOXES = ("_INBOX", "_R_.")  # of this account, and what the server calls those of others

# What revalidators work off: the body of marks is none.
CONSUMER_SPECS = tuple(
    ConsumerSpec(stream=STREAM, subject=f"{SUBJECT_PREFIX}.>", **facts._asdict())
    for facts in EVENT_CONSUMERS
)

ResultT = TypeVar("ResultT")


class LogState(NamedTuple):
    """The log as it is: `created_at` is the sequence that its first message got or will get."""

    created_at: int
    first: int
    last: int


class Held(NamedTuple):
    """A message of this service in the log: what the log knows it by, what all do, and its body."""

    message_id: str
    event_id: str
    body: bytes
    seq: int
    witness: Witness | None


def _expecting(newest: int | None) -> dict[str, str]:
    """Return the headers by which the stream refuses what comes after another's message."""
    headers = {"Nats-Expected-Stream": STREAM}
    if newest is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(newest)
        headers["Nats-Expected-Last-Subject-Sequence-Subject"] = OWN_SUBJECTS
    return headers


EXPECTING_BYTES_MAX = Message("", b"", _expecting(2**63)).size_bytes


class Broker:
    """One connection to NATS. Every method raises `BrokerError`, within a bounded time."""

    def __init__(self, client: Client, broken: asyncio.Event) -> None:
        self._client = client
        self._js = client.jetstream(timeout=BROKER_REQUEST_S_MAX)
        self._broken = broken
        self._window: Window | None = None
        self._newest: int | None = None

    async def wait_until_broken(self) -> None:
        """Return when the connection is gone; the session must end then."""
        await self._broken.wait()

    async def ensure_log(self) -> bool:
        """Create the stream unless it exists; return whether it was created."""
        created = await self._bounded("create the stream", ensure_stream(self._js))
        await self._bounded("create the stream of instances", ensure_instances_stream(self._js))
        return created

    async def ensure_consumers(self) -> None:
        """Repair the streams; create or repair the consumers by which revalidators work on events.

        Raises:
            asgi_isr.nats.LogConfigurationError: one cannot be repaired.

        """
        await self._bounded("look at the streams", repair_streams(self._js))
        link = Link(self._client, name="relay", timeout_s=BROKER_REQUEST_S_MAX)
        for spec in CONSUMER_SPECS:
            await self._bounded("set up a consumer", ensure_consumer(link, spec))

    async def state(self) -> LogState | None:
        """Return what the stream holds, or None if there is no stream."""
        try:
            info = await self._bounded("read the stream's state", self._js.stream_info(STREAM))
        except _MissingError:
            return None
        return LogState(info.config.first_seq or 0, info.state.first_seq, info.state.last_seq)

    async def own_message(self, seq: int) -> Held | None:
        """Return what this service published at `seq`; None if the log holds no such message.

        What others published there is not looked into: headers may hold anything, also our ids.
        """
        return await self._held(b'{"seq":%d}' % seq)

    async def newest(self, subject: str = OWN_SUBJECTS) -> Held | None:
        """Return the newest message of this service, or None.

        From the call for all its subjects on, nothing is published here unless that one still is
        the newest, or what was published here since.
        """
        held = await self._held(b'{"last_by_subj":"%s"}' % subject.encode())
        if subject == OWN_SUBJECTS:
            self._newest = 0 if held is None else held.seq
        return held

    async def _held(self, query: bytes) -> Held | None:
        question = request(
            self._client, f"$JS.API.STREAM.MSG.GET.{STREAM}", query, StoredReply,
            timeout_s=BROKER_REQUEST_S_MAX,
        )  # fmt: skip
        try:
            message = (await self._bounded("read a message", question)).message
        except _MissingError:
            return None
        if message.subject not in (OUTBOX_SUBJECT, MARK_SUBJECT):
            return None
        fields = message.headers
        return Held(
            fields.get(MESSAGE_ID_HEADER) or "", fields.get("ce-id") or "", message.data,
            message.seq, decode(fields.get(WITNESS_HEADER) or ""),
        )  # fmt: skip

    async def message_bytes_max(self) -> int:
        """Return the size of the largest message that the log takes, headers and body."""
        info = await self._bounded("read the stream's limits", self._js.stream_info(STREAM))
        limit = info.config.max_msg_size or -1
        payload: int = self._client.max_payload
        return payload if limit < 0 else min(payload, limit)

    async def replace_log(self) -> None:
        """Delete the stream if it exists, and create it again beyond every sequence ever used."""
        with contextlib.suppress(_MissingError):
            await self._bounded("delete the stream", self._js.delete_stream(STREAM))
        await self.ensure_log()

    async def publish(self, message: Message) -> PubAck:
        """Publish one message and wait until the stream has it."""
        ack = await self._bounded(
            "publish",
            request(
                self._client,
                message.subject,
                message.body,
                PubAck,
                timeout_s=BROKER_REQUEST_S_MAX,
                headers={**message.headers, **_expecting(self._newest)},
            ),
        )
        self._follow(ack)
        return ack

    async def publish_ahead(self, messages: Sequence[Message]) -> Sent:
        """Publish all without waiting in between, then wait until each has an answer.

        Where one is refused, those after it may stand in the log all the same. That nobody else
        publishes for this service is asked with the first.
        """
        if self._window is None:
            self._window = Window(self._client)
            await self._bounded("subscribe", self._window.open())
        first, *others = messages
        first = first._replace(headers={**first.headers, **_expecting(self._newest)})
        sent = await self._bounded("publish", self._window.send([first, *others]))
        for ack in sent.acks:
            self._follow(ack)
        return sent

    def _follow(self, ack: PubAck) -> None:
        if self._newest is not None and not ack.duplicate:
            self._newest = ack.seq

    async def listen_for_mark_requests(self, accept: Callable[[str], None]) -> None:
        """Call `accept` with the reply subject of each request for a mark from now on."""

        async def received(message: Msg) -> None:
            # Nothing but an inbox: this user may publish where the one who asks may not.
            if message.reply.startswith(_INBOXES):
                accept(message.reply)

        await self._bounded("subscribe", self._client.subscribe(MARK_REQUEST_SUBJECT, cb=received))
        # The server has the subscription once it answered a ping that was sent after it.
        await self._bounded("subscribe", self._client.flush())

    async def reply(self, subjects: list[str], body: bytes) -> None:
        """Send `body` to each of `subjects`, and nothing of what the one who asks has sent."""
        for subject in subjects:
            await self._bounded("reply", self._client.publish(subject, body))

    async def _bounded(self, what: str, action: Awaitable[ResultT]) -> ResultT:
        try:
            async with asyncio.timeout(2 * BROKER_REQUEST_S_MAX), keeping_cancellation():
                return await action
        except NotFoundError as error:
            raise _MissingError(f"cannot {what}: {error}") from error
        except RefusedError as error:
            missing = error.code in {NO_MESSAGE_FOUND, STREAM_NOT_FOUND}
            kind = _MissingError if missing else BrokerError
            raise kind(f"cannot {what}: {error}") from error
        except (LogUnavailableError, NatsError, OSError, TimeoutError) as error:
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
        timeout_s=BROKER_CONNECT_S_MAX,
        on_change=broken.set,
        tls_ca_file=tls_ca_file,
    )
    try:
        yield Broker(client, broken)
    finally:
        await close(client)

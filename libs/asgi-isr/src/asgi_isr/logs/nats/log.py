"""`NatsLog`: the `Log` port on a JetStream stream."""

import asyncio
import uuid
from calendar import timegm
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from asgi_isr.errors import InvalidEventError, LogUnavailableError
from asgi_isr.events import (
    MARK_REQUEST_SUBJECT,
    MARK_SUBJECT_PREFIX,
    SOURCE,
    STREAM,
    Invalidation,
    encode,
    headers,
    mark_body,
    subject_of,
)
from asgi_isr.logs.nats.reader import PENDING_MESSAGES_MAX, Reader
from asgi_isr.logs.nats.registrations import ensure_instances_stream
from asgi_isr.nats.connection import close, connect
from asgi_isr.nats.requests import (
    NO_MESSAGE_FOUND,
    STREAM_NOT_FOUND,
    RefusedError,
    request,
)
from asgi_isr.nats.stream import ensure_stream
from asgi_isr.ports import Bounds, Clock, LogMessage, Mark, SystemClock
from asgi_isr.reports import (
    INSTANCES_SUBJECT_PREFIX,
    POPULAR_SUBJECT_PREFIX,
    POSITIONS_SUBJECT_PREFIX,
    PopularPages,
    Report,
)

TIMEOUT_S = 2.0
T = TypeVar("T")
_encoder = msgspec.json.Encoder()


class StreamMissingError(LogUnavailableError):
    """There is no stream of invalidations yet."""


class _State(msgspec.Struct, frozen=True):
    messages: int
    first_seq: int
    last_seq: int


class _StreamInfo(msgspec.Struct, frozen=True):
    state: _State


class _Stored(msgspec.Struct, frozen=True):
    time: str


class _StoredReply(msgspec.Struct, frozen=True):
    message: _Stored


class _Ack(msgspec.Struct, frozen=True):
    seq: int
    duplicate: bool = False


class _Mark(msgspec.Struct, frozen=True):
    seq: int
    id: str


def _new_id() -> str:
    return str(uuid.uuid4())


class NatsLog:
    """The invalidation log on the stream that `ensure_stream` creates.

    `connection` is a client of the caller's, who closes it, or a URL: then the first call connects.
    Every call but `read` ends within `timeout_s`, or three times that where it has to wait for a
    connection; failures are `LogUnavailableError`. With `publish_marks` it creates the stream if it
    is missing and publishes marks itself, for an app without a relay; else the relay does both.
    `source` names this process in subjects and events. `tls_ca_file` is as in `connect`.
    """

    def __init__(
        self,
        connection: Client | str,
        *,
        source: str = SOURCE,
        publish_marks: bool = False,
        timeout_s: float = TIMEOUT_S,
        pending_messages_max: int = PENDING_MESSAGES_MAX,
        clock: Clock | None = None,
        new_id: Callable[[], str] = _new_id,
        tls_ca_file: str = "",
    ) -> None:
        # Without a URL the client is the caller's: never closed and never replaced here.
        self._url = connection if isinstance(connection, str) else ""
        self._connection = connection if isinstance(connection, Client) else None
        subject_of(source)  # raises where it cannot be in a subject
        self._source = source
        self._publish_marks = publish_marks
        self._timeout_s = timeout_s
        self._pending_messages_max = pending_messages_max
        self._clock = clock or SystemClock()
        self._new_id = new_id
        self._tls_ca_file = tls_ca_file
        self._connecting = asyncio.Lock()
        self._readers: set[Reader] = set()
        self._closed = False

    async def bounds(self) -> Bounds:
        """Return the first and last sequence of the log."""
        subject = f"$JS.API.STREAM.INFO.{STREAM}"
        try:
            state = (await self._request(subject, b"", _StreamInfo)).state
        except StreamMissingError:
            if not self._publish_marks:
                raise
            await ensure_stream((await self._client()).jetstream())
            state = (await self._request(subject, b"", _StreamInfo)).state
        first = state.first_seq if state.messages else state.last_seq + 1
        return Bounds(first, state.last_seq)

    async def stamp(self, seq: int) -> str | None:
        """Return the time at which the event at `seq` was stored, in ns since 1970, or None."""
        subject = f"$JS.API.STREAM.MSG.GET.{STREAM}"
        try:
            reply = await self._request(subject, b'{"seq":%d}' % seq, _StoredReply)
        except RefusedError as error:
            if error.code == NO_MESSAGE_FOUND:
                return None
            raise
        return str(nanoseconds(reply.message.time))

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Yield batches of messages above `after`, in order, without end.

        Where the log no longer holds `after + 1` it goes on with its first message; the reader sees
        the gap in the sequences. Raises `LogUnavailableError` when the log ends before `after`, and
        after any loss, broken connection or silence: read again from the last message.
        """
        client = await self._client()
        reader = Reader(
            client,
            after,
            timeout_s=self._timeout_s,
            pending_messages_max=self._pending_messages_max,
        )
        # JetStream would skip what is published up to `after`, and say nothing.
        last = (await self.bounds()).last
        if after > last:
            raise LogUnavailableError(f"the log ends at {last}, before position {after}")
        self._readers.add(reader)
        try:
            await reader.open()
            while True:
                yield await reader.batch()
        finally:
            self._readers.discard(reader)
            await reader.close()

    async def mark(self) -> Mark:
        """Have a mark published after this call; return it."""
        if not self._publish_marks:
            answer = await self._request(MARK_REQUEST_SUBJECT, b"", _Mark)
            return Mark(answer.seq, answer.id)
        subject, mark_id = f"{MARK_SUBJECT_PREFIX}.{self._source}", self._new_id()
        ack = await self._publish(subject, mark_body(mark_id), {"Nats-Msg-Id": mark_id})
        return Mark(ack.seq, mark_id)

    async def announce(self, event: Invalidation) -> int:
        """Publish `event` once; return its sequence."""
        return await self.publish(event)

    async def register(self, report: Report) -> None:
        """Have the stream of instances keep `report`."""
        subject = f"{INSTANCES_SUBJECT_PREFIX}.{report.instance}"
        try:
            await self._request(subject, _encoder.encode(report), _Ack)
        except LogUnavailableError:
            if not self._publish_marks:
                raise
            await ensure_instances_stream((await self._client()).jetstream())
            await self._request(subject, _encoder.encode(report), _Ack)

    async def report(self, report: Report) -> None:
        """Publish `report` to whoever listens."""
        await self._tell(f"{POSITIONS_SUBJECT_PREFIX}.{report.instance}", _encoder.encode(report))

    async def popular(self, pages: PopularPages) -> None:
        """Publish `pages` to whoever listens."""
        await self._tell(f"{POPULAR_SUBJECT_PREFIX}.{pages.instance}", _encoder.encode(pages))

    async def publish(
        self,
        event: Invalidation,
        source: str | None = None,
        event_id: str | None = None,
        *,
        again: bool = False,
    ) -> int:
        """Publish `event`; return its sequence.

        `event_id` is new for each event. After a `LogUnavailableError` the event may or may not
        stand in the log: publish it with the same `event_id` and `again`. Raises
        `InvalidEventError` for an event that must not be published, or whose id stands in the log
        on a first attempt.
        """
        name = self._source if source is None else source
        identity = event_id or self._new_id()
        now = datetime.fromtimestamp(self._clock.wall(), UTC)
        ack = await self._publish(subject_of(name), encode(event), headers(identity, name, now))
        if ack.duplicate and not again:
            raise InvalidEventError("event_id", f"{identity!r} was published before, as {ack.seq}")
        return ack.seq

    async def close(self) -> None:
        """End all readings; close the connection if it was opened here."""
        self._closed = True
        self._wake()
        if self._url and self._connection is not None:
            await close(self._connection)

    async def _publish(self, subject: str, body: bytes, message_headers: dict[str, str]) -> _Ack:
        return await self._request(subject, body, _Ack, message_headers)

    async def _tell(self, subject: str, body: bytes) -> None:
        client = await self._client()
        if not client.is_connected:
            raise LogUnavailableError("the connection to NATS is down; it is being mended")
        try:
            await client.publish(subject, body)
        except (NatsError, OSError) as error:
            raise LogUnavailableError(f"cannot publish to {subject}: {error}") from error

    async def _request(
        self,
        subject: str,
        body: bytes,
        reply: type[T],
        message_headers: dict[str, str] | None = None,
    ) -> T:
        client = await self._client()
        try:
            return await request(
                client, subject, body, reply, timeout_s=self._timeout_s, headers=message_headers
            )
        except RefusedError as error:
            if error.code == STREAM_NOT_FOUND:
                raise StreamMissingError(
                    f"the stream {STREAM} does not exist; the writers' side creates it"
                ) from error
            raise

    async def _client(self) -> Client:
        if self._closed:
            raise LogUnavailableError("the log was closed")
        # A client that the server refused for good is closed; a new one may be let in.
        client = self._connection
        if client is not None and not (client.is_closed and self._url):
            return client
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connecting.acquire()
        except TimeoutError as error:
            raise LogUnavailableError("others still try to connect to NATS") from error
        try:
            client = self._connection
            if client is None or client.is_closed:
                client = self._connection = await connect(
                    self._url,
                    name=self._source,
                    timeout_s=self._timeout_s,
                    on_change=self._wake,
                    tls_ca_file=self._tls_ca_file,
                )
            return client
        finally:
            self._connecting.release()

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake()


def nanoseconds(time: str) -> int:
    """Return an RFC 3339 time in UTC, with up to nine digits of a second, as ns since 1970."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    seconds = timegm(datetime.fromisoformat(whole).timetuple())
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)

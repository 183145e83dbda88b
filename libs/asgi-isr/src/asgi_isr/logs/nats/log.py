"""`NatsLog`: the `Log` port on a JetStream stream."""

from calendar import timegm
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from nats.aio.client import Client

from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import SOURCE, STREAM, Invalidation
from asgi_isr.logs.nats.publisher import NewId, Publisher, new_id
from asgi_isr.logs.nats.reader import PENDING_MESSAGES_MAX, Reader
from asgi_isr.logs.nats.streams import ensure_stream
from asgi_isr.nats.link import NATS_REQUEST_S_MAX, Link
from asgi_isr.nats.requests import NO_MESSAGE_FOUND, STREAM_NOT_FOUND, RefusedError
from asgi_isr.ports import Bounds, Clock, LogMessage, Mark, SystemClock
from asgi_isr.reports import PopularPages, Report

T = TypeVar("T")


class StreamMissingError(LogUnavailableError):
    """There is no stream of invalidations yet."""


class _StreamState(msgspec.Struct, frozen=True):
    messages: int
    first_seq: int
    last_seq: int


class _StreamInfo(msgspec.Struct, frozen=True):
    state: _StreamState


class _StoredTime(msgspec.Struct, frozen=True):
    time: str


class _StoredTimeReply(msgspec.Struct, frozen=True):
    message: _StoredTime


class NatsLog:
    """The invalidation log on the stream that `ensure_stream` creates.

    `connection` is a client of the caller's, who closes it, or a URL: then the first call connects.
    Every call but `read` ends within `timeout_s`, or three times that where it has to wait for a
    connection; failures are `LogUnavailableError`. With `publish_marks` it creates the stream if it
    is missing and publishes marks itself, for an app without a relay; else the relay does both.
    `source` names this process in subjects and events. `tls_ca_file` is as in `connect`.

    After `close` it can be used again, in another event loop too; with a client of the caller's
    only as long as that client can.
    """

    def __init__(
        self,
        connection: Client | str,
        *,
        source: str = SOURCE,
        publish_marks: bool = False,
        timeout_s: float = NATS_REQUEST_S_MAX,
        pending_messages_max: int = PENDING_MESSAGES_MAX,
        clock: Clock | None = None,
        new_id: NewId = new_id,
        tls_ca_file: str = "",
    ) -> None:
        self._link = Link(
            connection,
            name=source,
            timeout_s=timeout_s,
            on_change=self._wake,
            tls_ca_file=tls_ca_file,
        )
        self._publisher = Publisher(
            self._link,
            source=source,
            own_marks=publish_marks,
            clock=clock or SystemClock(),
            new_id=new_id,
        )
        self._creates_stream = publish_marks
        self._timeout_s = timeout_s
        self._pending_messages_max = pending_messages_max
        self._readers: set[Reader] = set()

    async def bounds(self) -> Bounds:
        """Return the first and last sequence of the log."""
        subject = f"$JS.API.STREAM.INFO.{STREAM}"
        try:
            state = (await self._request(subject, b"", _StreamInfo)).state
        except StreamMissingError:
            if not self._creates_stream:
                raise
            await ensure_stream((await self._link.client()).jetstream())
            state = (await self._request(subject, b"", _StreamInfo)).state
        first = state.first_seq if state.messages else state.last_seq + 1
        return Bounds(first, state.last_seq)

    async def stamp(self, seq: int) -> str | None:
        """Return the time at which the event at `seq` was stored, in ns since 1970, or None."""
        subject = f"$JS.API.STREAM.MSG.GET.{STREAM}"
        try:
            reply = await self._request(subject, b'{"seq":%d}' % seq, _StoredTimeReply)
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
        client = await self._link.client()
        reader = Reader(
            client,
            after,
            timeout_s=self._timeout_s,
            pending_messages_max=self._pending_messages_max,
        )
        self._readers.add(reader)
        try:
            # JetStream would skip what is published up to `after`, and say nothing.
            last = (await self.bounds()).last
            if after > last:
                raise LogUnavailableError(f"the log ends at {last}, before position {after}")
            await reader.open()
            while True:
                yield await reader.batch()
        finally:
            self._readers.discard(reader)
            await reader.close()

    async def mark(self) -> Mark:
        """Have a mark published after this call; return it."""
        return await self._publisher.mark()

    async def announce(self, event: Invalidation) -> int:
        """Publish `event` once; return its sequence. Raises as `publish` does."""
        return await self.publish(event)

    async def register(self, report: Report) -> None:
        """Have the stream of instances keep `report`."""
        await self._publisher.register(report)

    async def report(self, report: Report) -> None:
        """Publish `report` to whoever listens."""
        await self._publisher.report(report)

    async def popular(self, pages: PopularPages) -> None:
        """Publish `pages` to whoever listens."""
        await self._publisher.popular(pages)

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
        on a first attempt, `TypeError` for what is no `Invalidation`, and `ValueError` for a source
        that cannot be in a subject.
        """
        return await self._publisher.event(event, source, event_id, again=again)

    async def close(self) -> None:
        """End all readings; close the connection if it was opened here."""
        for reader in self._readers:
            reader.end("the log was closed")
        await self._link.close()

    async def _request(self, subject: str, body: bytes, reply: type[T]) -> T:
        try:
            return await self._link.request(subject, body, reply)
        except RefusedError as error:
            if error.code == STREAM_NOT_FOUND:
                raise StreamMissingError(
                    f"the stream {STREAM} does not exist; the writers' side creates it"
                ) from error
            raise

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake()


def nanoseconds(time: str) -> int:
    """Return an RFC 3339 time in UTC, with up to nine digits of a second, as ns since 1970."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    seconds = timegm(datetime.fromisoformat(whole).timetuple())
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)

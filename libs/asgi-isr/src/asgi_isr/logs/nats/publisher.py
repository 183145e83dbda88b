"""What `NatsLog` publishes: events and marks into the log, reports beside it."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from asgi_isr.errors import InvalidEventError, LogUnavailableError
from asgi_isr.events import (
    MARK_REQUEST_SUBJECT,
    MARK_SUBJECT_PREFIX,
    Invalidation,
    body_of,
    checking,
    headers,
    mark_body,
    subject_of,
)
from asgi_isr.logs.nats.streams import ensure_instances_stream
from asgi_isr.nats.link import Link
from asgi_isr.ports import Clock, Mark
from asgi_isr.reports import (
    INSTANCES_SUBJECT_PREFIX,
    POPULAR_SUBJECT_PREFIX,
    POSITIONS_SUBJECT_PREFIX,
    PopularPages,
    Report,
)

__all__ = ["NewId", "Publisher", "new_id"]

NewId = Callable[[], str]

_MESSAGE_ID = "Nats-Msg-Id"

_encoder = msgspec.json.Encoder()


class _RelayMark(msgspec.Struct, frozen=True):
    """The relay's answer to a request for a mark."""

    seq: int
    id: str


def new_id() -> str:
    """Return a random UUID."""
    return str(uuid.uuid4())


class Publisher:
    """Publishes over `link` as `source`; marks come from the relay, or with `own_marks` from here.

    Every method raises `LogUnavailableError`. Whether the message was published is then not known.

    The log takes a `Nats-Msg-Id` once, whoever gives it, and calls a duplicate what comes later. So
    only an event whose id the caller chose has one, since it may be published again; where that id
    was taken, it is published without. Twice in the log is better than another's in its place.
    """

    def __init__(
        self, link: Link, *, source: str, own_marks: bool, clock: Clock, new_id: NewId
    ) -> None:
        subject_of(source)  # raises where it cannot be in a subject
        self._link = link
        self._source = source
        self._own_marks = own_marks
        self._clock = clock
        self._new_id = new_id

    async def event(
        self, event: Invalidation, source: str | None, event_id: str | None, *, again: bool
    ) -> int:
        """Publish `event`; see `NatsLog.publish`."""
        if not isinstance(event, Invalidation):
            raise TypeError(f"event: expected an Invalidation, got {type(event).__name__}")
        name = self._source if source is None else source
        if not isinstance(name, str):
            raise TypeError(f"source: expected a string or None, got {type(name).__name__}")
        subject = subject_of(name)
        identity = _checked_id(event_id or self._new_id())
        now = datetime.fromtimestamp(self._clock.wall(), UTC)
        for _ in checking(event):
            await asyncio.sleep(0)
        fields, body = headers(identity, name, now), body_of(event)
        if not event_id:
            del fields[_MESSAGE_ID]
        ack = await self._link.publish(subject, body, fields)
        if ack.duplicate:
            if not again:
                raise InvalidEventError(
                    "event_id", f"{identity!r} was published before, as {ack.seq}"
                )
            fields.pop(_MESSAGE_ID, None)
            ack = await self._link.publish(subject, body, fields)
        return ack.seq

    async def mark(self) -> Mark:
        """Have a mark published after this call; return it."""
        if not self._own_marks:
            answer = await self._link.request(MARK_REQUEST_SUBJECT, b"", _RelayMark)
            return Mark(answer.seq, answer.id)
        subject, mark_id = f"{MARK_SUBJECT_PREFIX}.{self._source}", self._new_id()
        ack = await self._link.publish(subject, mark_body(mark_id))
        return Mark(ack.seq, mark_id)

    async def register(self, report: Report) -> None:
        """Have the stream of instances keep `report`."""
        subject = f"{INSTANCES_SUBJECT_PREFIX}.{report.instance}"
        try:
            await self._link.publish(subject, _encoder.encode(report))
        except LogUnavailableError:
            if not self._own_marks:
                raise
            await ensure_instances_stream((await self._link.client()).jetstream())
            await self._link.publish(subject, _encoder.encode(report))

    async def report(self, report: Report) -> None:
        """Publish `report` to whoever listens."""
        subject = f"{POSITIONS_SUBJECT_PREFIX}.{report.instance}"
        await self._link.tell(subject, _encoder.encode(report))

    async def popular(self, pages: PopularPages) -> None:
        """Publish `pages` to whoever listens."""
        await self._link.tell(f"{POPULAR_SUBJECT_PREFIX}.{pages.instance}", _encoder.encode(pages))


def _checked_id(event_id: str) -> str:
    """Return `event_id` if a header can hold it. Raises `TypeError` or `InvalidEventError`."""
    if not isinstance(event_id, str):
        raise TypeError(f"event_id: expected a string or None, got {type(event_id).__name__}")
    if not event_id.isprintable() or event_id != event_id.strip():
        raise InvalidEventError(
            "event_id", f"{event_id!r} has control characters, or spaces at an end"
        )
    return event_id

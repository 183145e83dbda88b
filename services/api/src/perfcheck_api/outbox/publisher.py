"""What one session of the relay publishes: rows in batches, and marks.

All rows of a batch but the last are sent ahead of their answers; the last one follows when the log
has them all. So a batch takes two round trips, and a single row, which is usual, one. Where the
broker refuses a row in the middle, rows after it may stand in the log before it: the session ends,
and the next one publishes them again from there. Events come to no harm by that, in another order
or twice, and `Cache-Sequence` is true all the same: rows sent ahead carry the number below the
batch, only the last one its own.

The log takes an id (`Nats-Msg-Id`) once, whoever gives it and on whatever subject, and says
"duplicate" to all who come later. So that answer alone proves nothing. Where a row was sent before,
the log must hold this row at the sequence that it names; else, and always on a first attempt,
somebody else used the id, and the row is published again under another one.

Marks and the last message of a batch carry a witness of the database, which the next session
compares with it (rule 13).
"""

import logging
from typing import Self
from uuid import UUID

import msgspec
from asgi_isr.events import (
    ORIGIN_HEADER,
    SEQUENCE_HEADER,
    Invalidation,
    encode,
    mark_body,
)
from asgi_isr.events import headers as event_headers
from asgi_isr.nats import PubAck

from perfcheck_api.db import Connection
from perfcheck_api.errors import BrokerError, DatabaseChangedError
from perfcheck_api.outbox import repository
from perfcheck_api.outbox.broker import EXPECTING_BYTES_MAX, Broker
from perfcheck_api.outbox.metrics import RelayMetrics
from perfcheck_api.outbox.model import (
    MARK_SUBJECT,
    OUTBOX_SOURCE,
    OUTBOX_SUBJECT,
    Acknowledged,
    Pending,
)
from perfcheck_api.outbox.window import MESSAGE_ID_HEADER, Message
from perfcheck_api.outbox.witness import WITNESS_HEADER, Place, Witness
from perfcheck_api.outbox.writer import append

BATCH_ROWS_MAX = 256
PAYLOADS_BYTES_MAX = 4 * 1024 * 1024  # what a broker takes well within the time limit of an answer
REDRAWS_MAX = 3  # of a row's id in one session

_log = logging.getLogger(__name__)


class Publisher:
    """Publishes over one connection to each of PostgreSQL and NATS, until either breaks."""

    def __init__(
        self,
        connection: Connection,
        broker: Broker,
        *,
        acknowledged: Acknowledged | None,
        database: Witness,
        through: int,
        message_bytes_max: int,
        metrics: RelayMetrics,
    ) -> None:
        self._connection = connection
        self._broker = broker
        self._acknowledged = acknowledged
        self._database = database
        self._through = through
        self._message_bytes_max = message_bytes_max
        self._metrics = metrics
        self.witnesses = 0  # in the log, by this session

    @classmethod
    async def begin(
        cls,
        connection: Connection,
        broker: Broker,
        acknowledged: Acknowledged | None,
        database: Witness,
        metrics: RelayMetrics,
    ) -> Self:
        """Begin where the last session ended; `acknowledged` is the last message in the log."""
        return cls(
            connection,
            broker,
            acknowledged=acknowledged,
            database=database,
            through=await repository.published_through(connection),
            message_bytes_max=await broker.message_bytes_max(),
            metrics=metrics,
        )

    @property
    def through(self) -> int:
        """Every row up to this id is in the log."""
        return self._through

    async def publish_batch(self) -> bool:
        """Publish the oldest rows; return whether there may be more.

        Raises:
            BrokerError: for the first row that was not taken; those before it are on record.
            DatabaseChangedError: the outbox is not what it was at the last batch.

        """
        place, rows = await repository.claim(
            self._connection, rows_max=BATCH_ROWS_MAX, bytes_max=PAYLOADS_BYTES_MAX
        )
        self._move(place)
        if not rows:
            return False
        # A row below, unpublished again since by hand, must not pass for one that is in the log.
        self._through = rows[0].source_seq - 1
        told_bytes = Message("", b"", self._told()).size_bytes + EXPECTING_BYTES_MAX
        taken = [await self._takeable(row, told_bytes) for row in rows]
        published: list[tuple[Pending, int]] = []
        try:
            await self._publish(taken, published)
        finally:
            await self._record(published)
        self._through = rows[-1].source_seq
        size = sum(len(row.payload) for row in rows)
        return len(rows) == BATCH_ROWS_MAX or size >= PAYLOADS_BYTES_MAX

    async def invalidate_everything(self, heard: Witness | None, reason: str) -> None:
        """Publish, before any other row, that everything changed: the database went back.

        `heard` is the newest witness of the log, which what is published from here on replaces. The
        event is a row that commits once the log has it. So its number is above all that the log, or
        a token, may know; and where the commit fails, the log knows of a row that does not exist.
        """
        _log.error("everything is invalidated, since the database went back: %s", reason)
        if heard is not None:
            self._database = self._database.after(heard)
        event = Invalidation(tags=("*",), reason=f"the database went back: {reason}")
        async with self._connection.transaction():
            if heard is not None:
                await repository.raise_numbers(self._connection, heard.place.row)
            appended = await append(self._connection, event)
            row = await repository.claim_one(self._connection, appended.source_seq)
            self._move(await repository.place(self._connection))
            message = self._witnessed(_message(row, self._through))
            ack = await self._broker.publish(message)
            await self._record([await self._settled(row, ack, message)])
        # Where no other row waits marks tell this number, so tokens that are gone are known.
        self._through = await repository.published_through(self._connection)
        self._metrics.went_back()

    async def mark(self, waiting: list[str], mark_id: UUID) -> None:
        """Publish a mark and tell its sequence and id to everyone in `waiting`."""
        named = str(mark_id)
        headers = {MESSAGE_ID_HEADER: named, SEQUENCE_HEADER: str(self._through)}
        message = self._witnessed(Message(MARK_SUBJECT, mark_body(named), headers))
        ack = await self._broker.publish(message)
        if ack.duplicate:
            self._metrics.duplicate()
            raise BrokerError(f"the log has the new mark's id already, at {ack.seq}")
        self._acknowledge(ack, mark_id)
        # Recorded first: a log that loses this mark must be found out: pages may have its fence.
        await repository.mark_acknowledged(self._connection, Acknowledged(ack.seq, mark_id))
        await self._broker.reply(waiting, msgspec.json.encode({"seq": ack.seq, "id": named}))

    async def _record(self, published: list[tuple[Pending, int]]) -> None:
        if published and self._acknowledged is not None:
            lags_s = await repository.mark_published(
                self._connection, published, self._acknowledged
            )
            self._metrics.published(lags_s)

    def _move(self, place: Place) -> None:
        """Take over how far the database is.

        Raises `DatabaseChangedError` where that does not follow from what was seen before: somebody
        restored the table under this session.
        """
        before = self._database.place
        if place.outbox != before.outbox or place.row < before.row:
            raise DatabaseChangedError("the outbox was replaced, or lost rows")
        self._database = msgspec.structs.replace(self._database, place=place)

    def _witnessed(self, message: Message) -> Message:
        """Return `message` with a witness of the database."""
        self.witnesses += 1
        return message._replace(headers={**message.headers, **self._told()})

    def _told(self) -> dict[str, str]:
        origin = self._database.server.origin
        return {ORIGIN_HEADER: origin, WITNESS_HEADER: self._database.encode()}

    async def _publish(self, rows: list[Pending], published: list[tuple[Pending, int]]) -> None:
        """Publish `rows`, noting in `published` each one that the log has, in order."""
        *ahead, last = rows
        if ahead:
            messages = [_message(row, self._through) for row in ahead]
            acks, error = await self._broker.publish_ahead(messages)
            answered = list(zip(ahead, acks, messages, strict=False))
            for row, ack, _ in answered:
                if not ack.duplicate:
                    self._acknowledge(ack, row.dedup_id)
                    published.append((row, ack.seq))
            if error is not None:
                raise error
            for row, ack, message in answered:
                if ack.duplicate:
                    published.append(await self._settled(row, ack, message))
        message = self._witnessed(_message(last, last.source_seq))
        ack = await self._broker.publish(message)
        published.append(await self._settled(last, ack, message))

    async def _takeable(self, row: Pending, told_bytes: int) -> Pending:
        """Return `row`, or what stands in for it because the log will never take it.

        `told_bytes` is the size of what is said beside the event.
        """
        reason = _refusal(row, told_bytes, self._message_bytes_max)
        if reason is None:
            return row
        await repository.mark_refused(self._connection, row, reason)
        self._metrics.refused()
        _log.error(
            "event %s (outbox row %s) cannot be published; everything was invalidated instead: %s",
            row.event_id, row.source_seq, reason,
        )  # fmt: skip
        everything = Invalidation(
            tags=("*",), reason=f"event {row.event_id} could not be published: {reason}"
        )
        return row._replace(subject=OUTBOX_SUBJECT, payload=encode(everything))

    async def _settled(self, row: Pending, ack: PubAck, message: Message) -> tuple[Pending, int]:
        """Return `row` as the log has it, and its sequence: after a duplicate `ack` it is ensured.

        `message` is how it was published.

        Raises:
            BrokerError: for each id that was drawn, the log had another message.

        """
        redraws = 0
        while ack.duplicate and not await self._holds(row, ack.seq):
            if redraws == REDRAWS_MAX:
                raise BrokerError(
                    f"the log takes outbox row {row.source_seq} for a duplicate again"
                )
            redraws += 1
            # First: a relay that was replaced while it stood still has no session any more.
            row = await repository.redraw(self._connection, row)
            self._metrics.duplicate()
            _log.error(
                "somebody used the id that event %s (outbox row %s) was published under, at %s of"
                " the log; it is published again under another one",
                row.event_id, row.source_seq, ack.seq,
            )  # fmt: skip
            drawn = {MESSAGE_ID_HEADER: str(row.dedup_id)}
            ack = await self._broker.publish(message._replace(headers={**message.headers, **drawn}))
        self._acknowledge(ack, row.dedup_id)
        return row, ack.seq

    async def _holds(self, row: Pending, seq: int) -> bool:
        """Return whether an earlier attempt brought `row` into the log, at `seq`."""
        if row.attempts == 1:
            return False
        held = await self._broker.own_message(seq)
        return held is not None and (held.event_id, held.body) == (str(row.event_id), row.payload)

    def _acknowledge(self, ack: PubAck, message_id: UUID) -> None:
        """Note an acknowledged message. Raises `BrokerError` when sequences went back."""
        last = self._acknowledged
        if last is not None and ack.seq <= last.seq:
            if ack.duplicate:
                return
            raise BrokerError(f"the log gave sequence {ack.seq} after {last.seq}: it lost events")
        self._acknowledged = Acknowledged(ack.seq, message_id)


def _message(row: Pending, through: int) -> Message:
    headers = event_headers(str(row.event_id), OUTBOX_SOURCE, row.event_time)
    headers[MESSAGE_ID_HEADER] = str(row.dedup_id)
    headers[SEQUENCE_HEADER] = str(through)
    if row.traceparent is not None:
        headers["traceparent"] = row.traceparent
    return Message(row.subject, row.payload, headers)


def _refusal(row: Pending, told_bytes: int, bytes_max: int) -> str | None:
    """Say why the log will never take `row`, or return None."""
    if row.subject != OUTBOX_SUBJECT:
        return (
            f"its subject is {row.subject[:200]!r}; this service publishes to {OUTBOX_SUBJECT} only"
        )
    size = _message(row, row.source_seq).size_bytes + told_bytes
    if size > bytes_max:
        return f"it has {size} bytes, the log accepts at most {bytes_max}: raise max_payload"
    return None

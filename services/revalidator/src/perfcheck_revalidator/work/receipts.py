"""Receipts: what became of an event, as far as this replica knows; parts are merged by the api."""

from collections.abc import Iterator, Sequence

import msgspec
from asgi_isr.coherence import Progress
from asgi_isr.nats import Link
from asgi_isr.ports import Clock
from perfcheck_contracts import (
    INSTANCES_TIMED_MAX,
    RECEIPTS_BYTES_MAX,
    RECEIPTS_MAX,
    RECEIPTS_STREAM,
    RECEIPTS_SUBJECT,
    Applied,
    CdnPurge,
    Receipt,
    ReceiptBatch,
    Stage,
    Warmed,
)

from perfcheck_revalidator.work.original import Event, Original, committed_at
from perfcheck_revalidator.work.outlet import Outlet

__all__ = [
    "Receipts",
    "WallTimes",
    "applied_report",
    "batches",
    "dead_receipt",
    "event_receipt",
    "retried_receipt",
    "with_cdn",
    "with_warmed",
]

RECEIPT_NAMES_MAX = 1000
_TEXT_CHARS_MAX = 1024
_ENVELOPE_BYTES = 1024  # of a batch around its receipts, and between them
_RECEIPT_BYTES_MAX = 128 * 1024
_NAMES_KEPT = 100  # of an event whose receipt would be too large


class WallTimes:
    """Puts monotonic seconds of this process onto the wall clock; the one place that does."""

    def __init__(self, clock: Clock) -> None:
        self._offset_s = clock.wall() - clock.monotonic()

    def of(self, monotonic_s: float) -> float:
        """Return seconds since 1970."""
        return monotonic_s + self._offset_s


def applied_report(applied: Progress, published_s: float, walls: WallTimes) -> Applied:
    """Sum up who applied an event, in milliseconds from `published_s` (since 1970).

    A difference of two machines' clocks: it shows their skew, and may be below zero.
    """
    times_ms = {
        instance: (walls.of(at) - published_s) * 1000 for instance, at in applied.times.items()
    }
    return Applied.of(
        times_ms,
        vanished=applied.vanished,
        missing=applied.missing,
        timed_max=INSTANCES_TIMED_MAX,
    )


def event_receipt(event: Event, report: Applied, stage: Stage) -> Receipt:
    """Return the part that an applied event gets."""
    original, invalidation = event.original, event.invalidation
    return Receipt(
        id=original.id,
        source=original.source,
        stage=stage,
        tags=[_plain(tag) for tag in invalidation.tags[:RECEIPT_NAMES_MAX]],
        paths=[_plain(path) for path in invalidation.paths[:RECEIPT_NAMES_MAX]],
        mode="hard" if invalidation.hard else "soft",
        reason=_plain(invalidation.reason),
        seq=original.seq,
        committed_at=committed_at(original),
        published_at=original.published_at,
        applied=report,
    )


def dead_receipt(original: Original, reason: str, cdn: Sequence[CdnPurge] = ()) -> Receipt:
    """Return the part of an event that became a dead letter."""
    return Receipt(
        id=original.id,
        source=original.source,
        stage="dead",
        seq=original.seq,
        committed_at=committed_at(original),
        published_at=original.published_at,
        cdn=list(cdn),
        dead=_plain(reason),
    )


def with_cdn(event: Event, purges: Sequence[CdnPurge], stage: Stage) -> Receipt:
    """Return the part that says what the CDN did."""
    return _part(event, stage, cdn=list(purges))


def retried_receipt(event: Event, purges: Sequence[CdnPurge]) -> Receipt:
    """Return the part of a dead letter that was done after all: it alone ends `dead`."""
    return msgspec.structs.replace(_part(event, "done", cdn=list(purges)), retried=True)


def with_warmed(event: Event, warmed: Warmed) -> Receipt:
    """Return the part that says how many popular pages were rendered again."""
    return _part(event, "applied", warmed=warmed)


def _part(
    event: Event, stage: Stage, *, cdn: list[CdnPurge] | None = None, warmed: Warmed | None = None
) -> Receipt:
    """Name the event again: parts may arrive in any order, or alone."""
    original, invalidation = event.original, event.invalidation
    return Receipt(
        id=original.id,
        source=original.source,
        stage=stage,
        mode="hard" if invalidation.hard else "soft",
        seq=original.seq,
        published_at=original.published_at,
        cdn=cdn or [],
        warmed=warmed,
    )


def _plain(text: str) -> str:
    """Return `text` as a database and JSON can hold it: no NUL, no half of a surrogate pair."""
    return text[:_TEXT_CHARS_MAX].replace("\0", "").encode(errors="replace").decode()


def batches(receipts: Sequence[Receipt]) -> Iterator[bytes]:
    """Yield bodies of messages, each bounded in receipts and bytes."""
    held: list[Receipt] = []
    size, room = 0, RECEIPTS_BYTES_MAX - _ENVELOPE_BYTES
    for receipt in receipts:
        length = len(msgspec.json.encode(receipt))
        kept = receipt
        if length > _RECEIPT_BYTES_MAX:
            kept = msgspec.structs.replace(
                receipt, tags=receipt.tags[:_NAMES_KEPT], paths=receipt.paths[:_NAMES_KEPT]
            )
            length = len(msgspec.json.encode(kept))
        if held and (len(held) == RECEIPTS_MAX or size + length > room):
            yield msgspec.json.encode(ReceiptBatch(receipts=held))
            held, size = [], 0
        held.append(kept)
        size += length
    if held:
        yield msgspec.json.encode(ReceiptBatch(receipts=held))


class Receipts:
    """Publishes receipts; returns when the stream has them, however long that takes."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self.outlet = Outlet(link, RECEIPTS_STREAM, clock)  # the api keeps it

    async def publish(self, receipts: Sequence[Receipt]) -> None:
        """Publish `receipts` in as few messages as their bounds allow."""
        for body in batches(receipts):
            await self.outlet.put(RECEIPTS_SUBJECT, body)

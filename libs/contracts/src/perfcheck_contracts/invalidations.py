"""Invalidations over HTTP, and their receipts: JSON under `/api/v1` of the api service.

The event itself, as it stands in the log, is `asgi_isr.events.Invalidation`. Times are those of the
machine that saw it (database, broker, observer); durations in receipts are between such times, so
that the skew of their clocks shows in them.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, Self

import msgspec

from perfcheck_contracts.statistics import median

__all__ = [
    "INSTANCES_NAMED_MAX",
    "INSTANCES_TIMED_MAX",
    "Applied",
    "CdnPurge",
    "InvalidationAccepted",
    "InvalidationWrite",
    "Receipt",
    "ReceiptList",
    "Stage",
    "Warmed",
]

INSTANCES_NAMED_MAX = 100  # of those that are late or gone
INSTANCES_TIMED_MAX = 32  # in receipts, which are kept; of more only the distribution is told

Stage = Literal["committed", "published", "applied", "done", "dead"]


class InvalidationWrite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /invalidations` and of the webhook: what changed.

    At least one tag or path; `*` as a tag is everything. `mode` is `hard` or `soft`.
    """

    tags: list[str] = []
    paths: list[str] = []
    mode: str = "hard"
    reason: str = ""


class Applied(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the event reached the instances of the page cache.

    Milliseconds from its publication (from the call, in the answer to one that waits) until the
    observer heard from an instance that it had applied the event. `vanished` instances were live at
    first and were waited for until their lease had ended; `missing` ones had not reported when the
    wait was given up. `each` names every instance where somebody waited for the event. `unknown`
    says why more instances may be missing than those named, as while the broker is away.
    """

    instances: int
    min_ms: float | None = None
    p50_ms: float | None = None
    max_ms: float | None = None
    vanished: list[str] = []
    missing: list[str] = []
    each: dict[str, float] | None = None
    unknown: str = ""

    @classmethod
    def of(
        cls,
        times_ms: Mapping[str, float],
        *,
        vanished: Iterable[str] = (),
        missing: Iterable[str] = (),
        timed_max: int | None = None,
        unknown: str = "",
    ) -> Self:
        """Sum up who applied an event: `times_ms` says after how many milliseconds each one did.

        At most `INSTANCES_NAMED_MAX` are named as vanished and as missing. With `timed_max` there
        is no `each` of more instances than that, nor of none. The median is the nearest rank.
        """
        each = {instance: round(ms, 3) for instance, ms in sorted(times_ms.items())}
        numbers = list(each.values())
        return cls(
            instances=len(each),
            min_ms=min(numbers, default=None),
            p50_ms=median(numbers) if numbers else None,
            max_ms=max(numbers, default=None),
            vanished=sorted(vanished)[:INSTANCES_NAMED_MAX],
            missing=sorted(missing)[:INSTANCES_NAMED_MAX],
            each=each if timed_max is None or 0 < len(each) <= timed_max else None,
            unknown=unknown,
        )


class Warmed(msgspec.Struct, frozen=True, kw_only=True):
    """Popular pages that were rendered again; `left` did not fit into the time budget."""

    pages: int
    failed: int
    left: int
    ms: float


class CdnPurge(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One CDN's purge; `again` is the second one, after the request time limit (rule 10)."""

    provider: str
    again: bool = False
    status: Literal["submitted", "completed", "refused"] = "submitted"
    reference: str = ""
    submitted_at: datetime | None = None
    completed_at: datetime | None = None
    detail: str = ""


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one event, as far as it is known; parts that are missing have not happened.

    `id` is the event's `ce-id` (or `Nats-Msg-Id`); `seq-<sequence>` for a publisher that gave none.
    Publishers choose their ids, so an event is known by `source` and `id` together; the source is
    the tail of its subject, which the broker lets nobody else use. `seq` is its place in the log.
    `committed_at` is known for events of an outbox.
    """

    id: str
    version: int = 1
    source: str = ""
    stage: Stage = "committed"
    tags: list[str] = []
    paths: list[str] = []
    mode: str = "hard"
    reason: str = ""
    seq: int | None = None
    committed_at: datetime | None = None
    published_at: datetime | None = None
    applied: Applied | None = None
    warmed: Warmed | None = None
    cdn: list[CdnPurge] = []
    dead: str = ""  # why it is a dead letter
    retried: bool = False  # of a part: the dead letter was done after all, `dead` is over


class InvalidationAccepted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """202 of `POST /invalidations`; `applied` answers `?wait=applied`.

    `consistency_token` is for `Consistency-Token`: its bearer is served no page older than this.
    """

    id: str
    consistency_token: str
    applied: Applied | None = None


class ReceiptList(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /invalidations`: newest first; `next` is the cursor of the following page, or null."""

    receipts: list[Receipt]
    next: str | None

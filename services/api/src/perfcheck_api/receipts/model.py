"""Rules of receipts: which are kept, listed and merged. Pure: no I/O, no clock."""

import base64
import binascii
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from asgi_isr.keys import canonical_tag
from perfcheck_contracts import Receipt, Stage

RECEIPT_AGE_S_MAX = 7 * 86_400.0
RECEIPTS_KEPT = 1_000_000

LIST_LIMIT = 50
LIST_LIMIT_MAX = 200
# Receipts that one page of a list looks at: what fits may be rare.
LIST_WALKED_MAX = 5000

ID_CHARS_MAX = 512  # of an event, by whoever published it
SOURCE_CHARS_MAX = 256

_CURSOR_CHARS_MAX = 2048

_log = logging.getLogger(__name__)


class Position(NamedTuple):
    """A place in the list of receipts, newest first: all that follows is older."""

    at: datetime
    id: str


FIRST = Position(datetime.max.replace(tzinfo=UTC), "")


class ReceiptFilter(NamedTuple):
    """Which receipts are wanted: None does not narrow; `since` inclusive, `until` exclusive."""

    source: str | None = None
    stage: Stage | None = None
    tag: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = LIST_LIMIT
    after: Position | None = None


def cursor_of(position: Position) -> str:
    """Return `position` as an opaque text for URLs."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def position_of(cursor: str) -> Position | None:
    """Return the position that `cursor_of` gave as `cursor`, or None if it gave no such text."""
    if len(cursor) > _CURSOR_CHARS_MAX:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.json.decode(text, type=Position)
        if position.at.tzinfo is None or "\0" in position.id:
            return None
        return position._replace(at=position.at.astimezone(UTC))
    except (binascii.Error, msgspec.DecodeError, ValueError, OverflowError, RecursionError):
        return None


class Part(NamedTuple):
    """A receipt, whole or in part, and when the broker took it."""

    receipt: Receipt
    at: datetime


def rounds(parts: Iterable[Part]) -> list[list[Part]]:
    """Split `parts` so that none of the lists has an event twice; parts of one keep their order."""
    result: list[dict[tuple[str, str], Part]] = []
    seen: dict[tuple[str, str], int] = {}
    for part in parts:
        event = part.receipt.source, part.receipt.id
        number = seen.get(event, 0)
        seen[event] = number + 1
        if number == len(result):
            result.append({})
        result[number][event] = part
    return [list(once.values()) for once in result]


def storable(receipts: Iterable[Receipt]) -> list[Receipt]:
    """Return those that can be stored; the others are logged, as nobody waits for an answer."""
    kept = []
    for receipt in receipts:
        sized = 0 < len(receipt.id) <= ID_CHARS_MAX and len(receipt.source) <= SOURCE_CHARS_MAX
        if not sized or not receipt.id.isprintable() or " " in receipt.id:
            _log.error(
                "a receipt was dropped: its id has %d characters (1 to %d are allowed, no spaces),"
                " its source %d (at most %d)",
                len(receipt.id), ID_CHARS_MAX, len(receipt.source), SOURCE_CHARS_MAX,
            )  # fmt: skip
        else:
            kept.append(receipt)
    return kept


def json_of(parts: Sequence[Part]) -> bytes:
    """Return parts as the JSON that `repository.MERGE` takes.

    PostgreSQL cannot hold the character NUL, so U+FFFD stands in for it.
    """
    rows = [_row(part.receipt, part.at) for part in parts]
    return msgspec.json.encode(rows).replace(rb"\u0000", rb"\ufffd")


def _row(receipt: Receipt, at: datetime) -> dict[str, object]:
    stage = "dead" if receipt.dead else receipt.stage
    return {
        "id": receipt.id,
        "source": receipt.source,
        "stage": stage,
        "event": _event(receipt),
        "seq": receipt.seq,
        "committed_at": receipt.committed_at,
        "published_at": receipt.published_at,
        "applied": receipt.applied,
        "warmed": receipt.warmed,
        "cdn": receipt.cdn,
        "dead": receipt.dead or ("no reason was given" if stage == "dead" else ""),
        "ended_at": at if stage == "dead" or receipt.retried else None,
    }


def _event(receipt: Receipt) -> dict[str, object]:
    if not receipt.tags and not receipt.paths:
        return {}  # a part that does not say what the event was
    return {
        "tags": [canonical_tag(tag) for tag in receipt.tags],
        "paths": receipt.paths,
        "mode": receipt.mode,
        "reason": receipt.reason,
    }

"""What the outbox speaks of: rows, acknowledgements, and the source that they are counted by.

A row's id is its `source_seq`: what the source counts its events by, from here over the header
`Cache-Sequence` to whoever waits for it. The log's own number of a message is its `seq`. Pure: no
I/O, no clock.
"""

import re
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from asgi_isr.events import MARK_SUBJECT_PREFIX, SUBJECT_PREFIX

from perfcheck_api.origin import LOG_SOURCE

OUTBOX_SOURCE = LOG_SOURCE
OUTBOX_SUBJECT = f"{SUBJECT_PREFIX}.{OUTBOX_SOURCE}"
MARK_SUBJECT = f"{MARK_SUBJECT_PREFIX}.{OUTBOX_SOURCE}"
OWN_SUBJECTS = f"cache.*.v1.{OUTBOX_SOURCE}"  # both

# Version, trace id, parent id, flags; higher versions may append more, which would not be ours to
# pass on. Ids of zeros alone, and version ff, are invalid.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


class Appended(NamedTuple):
    """A row that was written: its number in the outbox, and the id of its event."""

    source_seq: int
    event_id: UUID


class Pending(NamedTuple):
    """A row to publish; `attempts` counts this one.

    `event_id` is what everybody knows the event by, `dedup_id` what the log does. The log takes
    an id once, whoever gives it, so this one is a secret until the row is in the log.
    """

    source_seq: int
    event_id: UUID
    dedup_id: UUID
    subject: str
    payload: bytes
    event_time: datetime
    attempts: int
    traceparent: str | None


class Acknowledged(NamedTuple):
    """A message that the log said it holds at `seq`; its id is a row's `dedup_id`, or a mark's."""

    seq: int
    message_id: UUID


class Backlog(NamedTuple):
    """How many rows wait, counted up to ten thousand, and how long the oldest one does."""

    rows: int
    oldest_age_s: float


def traceparent_from(text: str | None) -> str | None:
    """Return `text` if it is a traceparent (W3C Trace Context, section 3.2.2), else None."""
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None

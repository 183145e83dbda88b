"""A message of the log as it came, before anybody tried to read it; pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from asgi_isr.events import SUBJECT_PREFIX, Invalidation, decode

__all__ = ["Event", "Original", "committed_at", "event_id", "source_of"]

# An id stands in addresses (`/invalidations/<id>`) and in a database.
_PLAIN_ID = re.compile(r"[A-Za-z0-9._:@=+~-]{1,128}")
_ID_HEADERS = ("ce-id", "nats-msg-id")
_OUTBOX_SOURCES = frozenset({"api"})


class Original(NamedTuple):
    """A message: where it stands, when the broker took it, and how often it was handed out."""

    seq: int
    subject: str
    headers: Mapping[str, str]
    body: bytes
    published_at: datetime
    deliveries: int = 1

    @property
    def id(self) -> str:
        """The event's id, or one made of its sequence."""
        return event_id(self.seq, self.headers)

    @property
    def source(self) -> str:
        """Who published it."""
        return source_of(self.subject)


class Event(NamedTuple):
    """A message that could be read."""

    original: Original
    invalidation: Invalidation

    @classmethod
    def read(cls, original: Original) -> "Event":
        """Decode; raise `InvalidEventError` for what cannot be read."""
        return cls(original, decode(original.body))

    @property
    def seq(self) -> int:
        """Its place in the log."""
        return self.original.seq


def event_id(seq: int, headers: Mapping[str, str]) -> str:
    """Return `ce-id`, else `Nats-Msg-Id`, else `seq-<seq>`; what cannot be an id counts as none."""
    given = {name.lower(): value for name, value in headers.items()}
    for name in _ID_HEADERS:
        if _PLAIN_ID.fullmatch(given.get(name, "")):
            return given[name]
    return f"seq-{seq}"


def source_of(subject: str) -> str:
    """Return the tail of an event's subject: who published it."""
    return subject.removeprefix(f"{SUBJECT_PREFIX}.")


def committed_at(original: Original) -> datetime | None:
    """Return `ce-time` of an event of an outbox, which is when its change was committed."""
    if original.source not in _OUTBOX_SOURCES:
        return None
    given = {name.lower(): value for name, value in original.headers.items()}
    try:
        time = datetime.fromisoformat(given.get("ce-time", ""))
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)

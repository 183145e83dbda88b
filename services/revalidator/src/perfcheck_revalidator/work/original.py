"""A message of the log: as it came, and as it is read; no input or output."""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from asgi_isr.errors import InvalidEventError
from asgi_isr.events import SUBJECT_PREFIX, UNREADABLE, Invalidation, Problem, decode

__all__ = ["Event", "Original", "committed_at", "event_id", "source_of"]

# An id stands in addresses (`/invalidations/<id>`) and in a database.
_PLAIN_ID = re.compile(r"[A-Za-z0-9._:@=+~-]{1,128}")
_ID_HEADERS = ("ce-id", "nats-msg-id")
_PROBLEMS_SHOWN = 5
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
    """A message as the page cache applies it: what cannot be read is everything.

    `problem` says what could not be, or which names no page can have; such an event is worked on as
    others are, and then becomes a dead letter.
    """

    original: Original
    invalidation: Invalidation
    problem: str = ""

    @classmethod
    async def read(cls, original: Original) -> "Event":
        """Decode, and let others run in between: an event may have many names."""
        try:
            named = decode(original.body)
        except InvalidEventError as error:
            return cls(original, UNREADABLE, f"unreadable, so everything was invalidated: {error}")
        problems: list[Problem] = []
        for part in named.parts():
            problems += part.problems
            await asyncio.sleep(0)
        if not problems:
            return cls(original, named)
        shown = "; ".join(map(str, problems[:_PROBLEMS_SHOWN]))
        return cls(
            original, named.without(problems), f"{len(problems)} names were left out: {shown}"
        )

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

"""What the engine needs from outside: a clock, a shared store, a log.

The docstrings are the contract. `asgi_isr.stores` and `asgi_isr.logs` hold the implementations; one
suite of contract tests runs over all of them.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol

from asgi_isr.events import Invalidation
from asgi_isr.reports import PopularPages, Report

__all__ = [
    "Bounds",
    "Clock",
    "Log",
    "LogMessage",
    "Mark",
    "Store",
    "SystemClock",
]


class Clock(Protocol):
    """Time, as given to the engine. Nothing else in this package reads a clock."""

    def monotonic(self) -> float:
        """Return seconds that never go back; compared within this process only."""

    def wall(self) -> float:
        """Return seconds since 1970, for lifetimes of pages (RFC 9111, section 4.2)."""


class SystemClock:
    """The clocks of this machine."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)  # noqa: TID251  this is the clock's one module


class Store(Protocol):
    """A key-value store that all instances share. It may lose anything at any time.

    Every method raises `StoreUnavailableError` when the store does not answer in time or refuses.
    """

    async def get(self, key: str) -> bytes | None:
        """Return the value at `key`, or None."""

    async def put(self, key: str, value: bytes, *, fence: int, ttl_s: float) -> bool:
        """Keep `value` for `ttl_s` seconds, unless a value with a higher fence stands there.

        Return whether it was kept.
        """

    async def lock(self, key: str, owner: str, *, ttl_s: float) -> bool:
        """Take the lock at `key` for `owner` if it is free; it ends by itself after `ttl_s`."""

    async def unlock(self, key: str, owner: str) -> None:
        """Give the lock back if `owner` still holds it; else do nothing."""

    async def close(self) -> None:
        """Close what was opened, in the event loop that opened it.

        The next call opens it again, in any event loop. A store is used in one loop at a time.
        """


class Bounds(NamedTuple):
    """What a log holds: sequences `first` to `last`; empty when `last == first - 1`."""

    first: int
    last: int


class Mark(NamedTuple):
    """A mark that was published as `seq`; its body names `id`, which no other mark has."""

    seq: int
    id: str


class LogMessage(NamedTuple):
    """One event as the log holds it. `stamp` tells it from another event with the same sequence.

    Where its `source` counts its events, all of them up to `source_seq` stand here or before.
    `origin` is what the source's data came from when it published this, where it says so.
    """

    seq: int
    stamp: str
    body: bytes
    source: str = ""
    source_seq: int | None = None
    origin: str = ""


class Log(Protocol):
    """The invalidation log: one order of events for all instances (rule 7 of the protocol).

    Every method raises `LogUnavailableError` when the log cannot be reached within its time limit.
    """

    async def bounds(self) -> Bounds:
        """Return the first and last sequence of the log."""

    async def stamp(self, seq: int) -> str | None:
        """Return the stamp of the event at `seq`, or None if the log does not hold one there."""

    def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Yield batches of messages with a sequence above `after`, in order, without end."""

    async def mark(self) -> Mark:
        """Have the writers' side publish a mark after this call; return it (rule 8)."""

    async def announce(self, event: Invalidation) -> int:
        """Publish an event of this instance's own, once; return its sequence."""

    async def register(self, report: Report) -> None:
        """Have the live set keep `report`; returns when it does (rule 11)."""

    async def report(self, report: Report) -> None:
        """Tell whoever listens; may be lost."""

    async def popular(self, pages: PopularPages) -> None:
        """Tell whoever listens which popular pages an event made old; may be lost."""

    async def close(self) -> None:
        """End all readings and close what was opened, in the event loop that opened it.

        The next call opens it again, in any event loop. A log is used in one loop at a time.
        """

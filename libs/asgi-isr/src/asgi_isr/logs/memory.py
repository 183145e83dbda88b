"""`MemoryLog`: the invalidation log in the memory of one process, for a single instance and tests.

It keeps every promise of the `Log` port. Its switches and losses (`down`, `marks_down`, `recreate`,
`truncate`) let a simulation do to it what can happen to a broker; readers then learn of it as they
would from a broker, by `LogUnavailableError`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import MappingProxyType

from asgi_isr.coherence.live_set import LiveSet
from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import Invalidation, body_of, checking, mark_body
from asgi_isr.ports import Bounds, LogMessage, Mark
from asgi_isr.reports import PopularPages, Report

__all__ = ["BATCH_MAX", "MESSAGES_MAX", "MemoryLog"]

MESSAGES_MAX = 100_000
BATCH_MAX = 1024
POPULAR_MAX = 1024


class MemoryLog:
    """A `Log` of the last `messages_max` events, the first of which gets `first_seq`.

    It belongs to one event loop. `marks_down` plays a writers' side that answers no request for a
    mark; `down` a broker out of reach. `live` is what an observer of the reports knows.
    """

    def __init__(self, *, first_seq: int = 1, messages_max: int = MESSAGES_MAX) -> None:
        self.marks_down = False
        self.live = LiveSet()
        self.live.loaded((), 0.0)
        self.popular_pages: deque[PopularPages] = deque(maxlen=POPULAR_MAX)
        self._down = False
        self._messages_max = messages_max
        self._messages: dict[int, LogMessage] = {}
        self._first = first_seq
        self._last = first_seq - 1
        self._stamps = 0  # counts over recreations: no two events ever share a stamp
        self._incarnation = 0  # readers of an earlier one are cut off
        self._changed = asyncio.Event()

    @property
    def last_seq(self) -> int:
        """The sequence of the last event, or one less than that of the first to come."""
        return self._last

    @property
    def messages(self) -> Mapping[int, LogMessage]:
        """The messages that it holds, by their sequence."""
        return MappingProxyType(self._messages)

    @property
    def down(self) -> bool:
        """Whether the log is out of reach; setting it cuts off all readers."""
        return self._down

    @down.setter
    def down(self, value: bool) -> None:
        self._down = value
        self._cut_off()

    async def bounds(self) -> Bounds:
        """Return the first and last sequence of the log."""
        self._check_up()
        return Bounds(self._first, self._last)

    async def stamp(self, seq: int) -> str | None:
        """Return the stamp of the event at `seq`, or None."""
        self._check_up()
        message = self._messages.get(seq)
        return message.stamp if message is not None else None

    def publish(
        self, body: bytes, *, source: str = "", source_seq: int | None = None, origin: str = ""
    ) -> int:
        """Append the bytes of an event; return its sequence.

        `source` says that all its events up to its own number `source_seq` are published now, and
        that its data comes from `origin`.
        Raises `LogUnavailableError` while `down`, `TypeError` for arguments of other types.
        """
        _check(body, source, source_seq)
        self._check_up()
        self._last += 1
        self._stamps += 1
        self._messages[self._last] = LogMessage(
            self._last, str(self._stamps), body, source, source_seq, origin
        )
        if len(self._messages) > self._messages_max:
            del self._messages[self._first]
            self._first += 1
        self._wake()
        return self._last

    async def announce(self, event: Invalidation) -> int:
        """Append `event`; return its sequence."""
        for _ in checking(event):
            await asyncio.sleep(0)
        return self.publish(body_of(event))

    async def mark(self) -> Mark:
        """Append a mark; return it. Raises `LogUnavailableError` while `marks_down`."""
        self._check_up()
        if self.marks_down:
            raise LogUnavailableError("nobody answers requests for a mark (`marks_down` is true)")
        mark_id = str(self._stamps + 1)
        return Mark(self.publish(mark_body(mark_id)), mark_id)

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Yield batches of messages above `after`, in order, without end.

        Where the log no longer holds `after + 1` it goes on with its first message; the reader sees
        the gap in the sequences. Raises `LogUnavailableError` when the log goes down, is recreated
        or loses events, or when it ends before `after`.
        """
        self._check_up()
        if after > self._last:
            raise LogUnavailableError(f"the log ends at {self._last}, before position {after}")
        incarnation = self._incarnation
        while True:
            changed = self._changed
            start = max(after + 1, self._first)
            end = min(self._last, start + BATCH_MAX - 1)
            if end >= start:
                after = end
                yield [self._messages[seq] for seq in range(start, end + 1)]
            else:
                await changed.wait()
            if self._incarnation != incarnation:
                raise LogUnavailableError("the log went down or lost events; read again")

    async def register(self, report: Report) -> None:
        """Take a registration into `live`."""
        self._check_up()
        self.live.take(report, asyncio.get_running_loop().time())

    async def report(self, report: Report) -> None:
        """Take a report into `live`."""
        await self.register(report)

    async def popular(self, pages: PopularPages) -> None:
        """Keep the last word on popular pages in `popular_pages`."""
        self._check_up()
        self.popular_pages.append(pages)

    async def close(self) -> None:
        """Cut off all readers."""
        self._cut_off()

    def recreate(self, first_seq: int) -> None:
        """Lose the whole log; the next event gets `first_seq`."""
        self._messages.clear()
        self._first, self._last = first_seq, first_seq - 1
        self._cut_off()

    def truncate(self, last: int) -> None:
        """Lose every event above `last`, as brokers that acknowledged more than they kept.

        Raises `ValueError` if the log does not hold the boundary.
        """
        if not self._first - 1 <= last <= self._last:
            raise ValueError(f"last: {last} is outside {self._first - 1}..{self._last}")
        for seq in range(last + 1, self._last + 1):
            del self._messages[seq]
        self._last = last
        self._cut_off()

    def _check_up(self) -> None:
        if self._down:
            raise LogUnavailableError("the memory log is switched off (`down` is true)")

    def _cut_off(self) -> None:
        self._incarnation += 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _check(body: object, source: object, source_seq: object) -> None:
    """Raise `TypeError`: what readers cannot read would otherwise stand in the log for good."""
    if not isinstance(body, bytes):
        got = type(body).__name__
        raise TypeError(f"body: expected bytes, as `asgi_isr.events.encode` makes them, got {got}")
    if not isinstance(source, str):
        raise TypeError(f"source: expected a string, got {type(source).__name__}")
    if source_seq is not None and (not isinstance(source_seq, int) or isinstance(source_seq, bool)):
        raise TypeError(f"source_seq: expected an int or None, got {type(source_seq).__name__}")

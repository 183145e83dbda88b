"""What lies between an instance and the log, and what can happen to it."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Self, TypeVar

from asgi_isr.coherence import Snapshot
from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import Invalidation
from asgi_isr.ports import Bounds, LogMessage, Mark
from asgi_isr.reports import PopularPages, Report

from simulation.known import Announced, Known
from simulation.observer import Observer
from simulation.tally import Tally
from simulation.writers import Writers

T = TypeVar("T")
LINK_TIMEOUT_S = 0.4  # after which a request to the broker counts as failed
DELAYS_S = (0.0, 0.0, 0.0005, 0.003, 0.02)


def delay_s(rng: random.Random) -> float:
    """Draw how long a message is on its way."""
    return DELAYS_S[int(rng.random() * len(DELAYS_S))]  # `choice` takes three times as long


class _Noting(tuple[LogMessage, ...]):  # noqa: SLOT001  a tuple takes no slots
    """A batch that notes each message when its reader comes to the next one, so has consumed it."""

    _note: Callable[[LogMessage], None]

    def __new__(cls, batch: Iterable[LogMessage], note: Callable[[LogMessage], None]) -> Self:
        made = super().__new__(cls, batch)
        made._note = note
        return made

    def __iter__(self) -> Iterator[LogMessage]:
        for message in super().__iter__():
            yield message
            self._note(message)


class Gate:
    """Open, or shut: those who pass wait until it opens."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.shut = False

    def close(self) -> None:
        """Let nobody pass."""
        self.shut = True
        self._open.clear()

    def open(self) -> None:
        """Let all pass."""
        self.shut = False
        self._open.set()

    async def passed(self) -> None:
        """Wait until it is open."""
        while self.shut:
            await self._open.wait()


class Link:
    """One instance's link to broker and relay: a `Log`.

    `cut`: everything fails. `requests` shut: what is asked gets no answer. `delivery` shut: events
    do not come, while what is asked is answered; `trickle_s`: they take so long, one after another;
    `slow_s`: what is asked takes so long at most, and its answer as well.
    It notes in `known` what the instance is told.
    """

    def __init__(
        self, name: str, writers: Writers, announced: Announced, observer: Observer, *,
        rng: random.Random, tally: Tally, note: Callable[[str, str, str], None],
    ) -> None:  # fmt: skip
        self.name = name
        self.rng = rng
        self.known = Known()
        self.cut = False
        self.trickle_s = 0.0
        self.slow_s = 0.0
        self.dead = False  # its instance was killed
        self.rejoins: Callable[[], int] = lambda: 0  # of the instance, up to now
        self._rejoins = 0  # noted
        self._snapshot: Snapshot | None = None
        self.requests = Gate()
        self.delivery = Gate()
        self._writers = writers
        self._announced = announced
        self._observer = observer
        self._tally = tally
        self._note = note

    async def bounds(self) -> Bounds:
        """Ask the broker."""
        return await self._asked(self._writers.log.bounds)

    async def stamp(self, seq: int) -> str | None:
        """Ask the broker."""
        return await self._asked(lambda: self._writers.log.stamp(seq))

    async def announce(self, event: Invalidation) -> int:
        """Publish an event of the instance's own."""
        return await self._asked(lambda: self._writers.announce(event))

    async def mark(self) -> Mark:
        """Ask the relay."""
        return await self._asked(self._writers.mark)

    async def register(self, report: Report) -> None:
        """Tell the broker, which keeps it."""
        await self._asked(lambda: self._tell(report, self._observer.registered))

    async def report(self, report: Report) -> None:
        """Tell whoever listens."""
        await self._asked(lambda: self._tell(report, self._observer.reported))

    async def popular(self, pages: PopularPages) -> None:
        """Tell whoever listens."""
        await self._asked(lambda: self._writers.log.popular(pages))

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Deliver events, often one by one, as late as the network likes."""
        self._joined(after)
        self._check()
        async with aclosing(self._writers.log.read(after)) as batches:
            async for batch in batches:
                self._tally["log: no longer held"] += batch[0].seq > after + 1
                step = 1 if self.rng.random() < 0.5 else len(batch)
                for start in range(0, len(batch), step):
                    await self._travel(None)
                    if self.trickle_s:
                        await asyncio.sleep(self.trickle_s)
                    await self.delivery.passed()
                    self._check()
                    yield _Noting(batch[start : start + step], self.consumed)
                after = batch[-1].seq

    async def close(self) -> None:
        """Leave the log to the others."""

    def consumed(self, message: LogMessage) -> None:
        """Note that the instance has consumed an event."""
        change = self._writers.told_by(message)
        if change is not None:
            self.known.take(change)
            self._note(self.name, "", f"has consumed {message.seq}: {change.versions}")

    def snapshot_read(self, snapshot: Snapshot | None) -> None:
        """Note that the instance has read a snapshot; it joins from it where the log allows it."""
        self._snapshot = snapshot

    def _joined(self, at: int) -> None:
        """Note how the instance has come to read from `at` on."""
        rejoins = self.rejoins()
        if rejoins != self._rejoins:
            self._rejoins = rejoins
            self.joined_behind(at)
        elif self._snapshot is not None and not rejoins:
            self.joined_from(self._snapshot)
        self._snapshot = None

    def joined_behind(self, seq: int) -> None:
        """Note that the instance joined at `seq`: it trusts nothing that is older."""
        self.known.take_all(self._announced.until(seq))
        self._tally["instance: joins at the end"] += 1
        self._note(self.name, "", f"has joined at the end of the log, {seq}")

    def joined_from(self, snapshot: Snapshot) -> None:
        """Note that the instance joined from a snapshot: it knows what the writer of that knew."""
        self.known.merge(self._announced.told[snapshot.position, snapshot.stamp])
        self._tally["instance: joins from a snapshot"] += 1
        self._note(self.name, "", f"has joined from the snapshot of {snapshot.position}")

    async def _tell(self, report: Report, hear: Callable[[Report], None]) -> None:
        await self._writers.log.report(report)  # raises where the broker is out of reach
        hear(report)

    async def _asked(self, question: Callable[[], Awaitable[T]]) -> T:
        await self._travel(LINK_TIMEOUT_S)
        self._check()
        answer = await question()
        await self._travel(LINK_TIMEOUT_S)
        self._check()
        return answer

    async def _travel(self, timeout_s: float | None) -> None:
        late_s = self.rng.uniform(0.0, self.slow_s) if timeout_s and self.slow_s else 0.0
        await asyncio.sleep(delay_s(self.rng) + late_s)
        if self.requests.shut:
            try:
                async with asyncio.timeout(timeout_s):
                    await self.requests.passed()
            except TimeoutError as error:
                raise LogUnavailableError("no answer") from error

    def _check(self) -> None:
        if self.cut or self.dead:
            raise LogUnavailableError("the link is cut")

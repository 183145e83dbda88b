"""The writers' side: data, outbox, and the relay that publishes rows and marks (rules 1, 7, 8)."""

from collections.abc import Mapping
from typing import NamedTuple

from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import Invalidation, encode, mark_body
from asgi_isr.logs import MemoryLog
from asgi_isr.ports import Clock, LogMessage, Mark

from simulation.known import Announced, Change
from simulation.pages import CHANGES, NAMES, Page, Vector, names_of

EPOCH = 1_000_000  # sequences between two logs: more than one ever gets (rule 7)
SOURCE = "writers"  # whose rows are counted
LOST_ROWS_MAX = 2  # published again when the log was lost: enough to be seen twice, in any order


class Acknowledged(NamedTuple):
    """A row, or a mark (None), that the broker said it holds."""

    seq: int
    stamp: str | None
    change: Change | None


class Writers:
    """The database with its outbox, and the relay. `alive` is whether the relay runs."""

    def __init__(self, announced: Announced, clock: Clock, *, messages_max: int) -> None:
        self._announced = announced
        self._clock = clock
        self.versions = dict.fromkeys(NAMES, 0)
        self.outbox: list[Change] = []
        self.committed: list[Change] = []  # rows of the outbox, each with its index as its number
        self._numbers: dict[bytes, int] = {}  # of those rows, by body
        self.strange: list[Change] = []  # of publishers without an outbox
        self.changes: dict[bytes, Change] = {}  # by body of the event
        self.announced_by: dict[str, Change] = {}  # by stamp, those of unsafe requests
        self.alive = True
        self.republished = 0
        self.origin = 1  # which database the writers have: numbers one that takes over from another
        self.forsaken: Mapping[str, int] | None = None  # what the one before still serves
        self._epoch = 1
        self._marks = 0
        self._acknowledged: list[Acknowledged] = []
        self.log = MemoryLog(first_seq=EPOCH, messages_max=messages_max)

    def commit(self, kind: int, *, mode: str) -> Change:
        """Change data and write the outbox row, in one transaction."""
        change = self._change(kind, mode)
        self._insert(change)
        return change

    async def intrude(self, kind: int) -> Change | None:
        """Change data and publish at once, as publishers do that know neither outbox nor relay.

        What the log then loses of theirs is lost for good, so nobody is judged by when they
        published. None where the log has lost its tail and the relay has not noticed yet: a
        sequence that is used twice is beyond the protocol (rule 7). Raises `LogUnavailableError`
        when the broker is out of reach.
        """
        if not await self._intact():
            return None
        change = self._change(kind, "hard")
        self.strange.append(change)
        self.log.publish(change.body)
        return change

    def change(self, page: Page, *, whole: bool) -> Vector:
        """Change the data of a page for an unsafe request: `whole`, or its own datum alone.

        Return its versions then. Nobody hears of it but by the cache, until all is healed.
        """
        for name in (*page.tags, page.name) if whole else (page.name,):
            self.versions[name] += 1
        self.strange.append(self._told(page.tags if whole else (), (page.path,), "hard"))
        return tuple(self.versions[name] for name in page.names)

    def change_here(self, kind: int, *, soft: bool) -> Change:
        """Change data of which an instance itself is told next, and nobody else until all heals."""
        change = self._change(kind, "soft" if soft else "hard")
        self.strange.append(change)
        return change

    def tell(self, page: Page) -> None:
        """Write an outbox row about a page that was changed, for the relay."""
        self._insert(self._told((), (page.path,), "hard"))

    @property
    def one_database(self) -> int | None:
        """Which database alone serves; None while the one before does as well."""
        return self.origin if self.forsaken is None else None

    async def move(self) -> None:
        """Go on in another database; the one before serves on and hears of nothing more.

        The log hears of it first. Raises `LogUnavailableError` without relay or broker.
        """
        self.origin += 1
        try:
            await self.mark()
        except LogUnavailableError:
            self.origin -= 1
            raise
        self.forsaken = dict(self.versions)

    def _insert(self, change: Change) -> None:
        self._numbers[change.body] = len(self.committed)
        self.committed.append(change)
        self.outbox.append(change)

    async def announce(self, event: Invalidation) -> int:
        """Take an event of an instance; nobody is judged by when it was published.

        Whoever consumes it trusts only pages read since, so with today's versions or newer ones.
        Raises `LogUnavailableError` where the broker is out of reach, or has lost its tail and no
        relay repairs that: a sequence that is used twice is beyond the protocol (rule 7).
        """
        if self.alive:
            await self._verify()
        elif not await self._intact():
            raise LogUnavailableError("the log has lost events")
        versions = {name: self.versions[name] for name in sorted(event.index_tags())}
        seq = await self.log.announce(event)
        stamp = await self.log.stamp(seq)
        self._acknowledged.append(Acknowledged(seq, stamp, None))
        if stamp is not None:
            self.announced_by[stamp] = Change(b"", versions, hard=event.hard)
        return seq

    def told_by(self, message: LogMessage) -> Change | None:
        """Return the change that an event tells of, if it tells of any."""
        return self.changes.get(message.body) or self.announced_by.get(message.stamp)

    def _change(self, kind: int, mode: str) -> Change:
        _, tags, paths = CHANGES[kind]
        for name in names_of(kind):
            self.versions[name] += 1
        return self._told(tags, paths, mode)

    def _told(self, tags: tuple[str, ...], paths: tuple[str, ...], mode: str) -> Change:
        """Write the event of a change that was made."""
        event = Invalidation(tags=tags, paths=paths, mode="hard", reason=str(len(self.changes)))
        # Put in afterwards: `encode` refuses a mode that is not known (read as hard, rule 9).
        written = encode(event).replace(b'"reason"', b'"mode":"%s","reason"' % mode.encode())
        versions = {name: self.versions[name] for name in sorted(event.index_tags())}
        change = Change(written, versions, mode != "soft")
        self.changes[written] = change
        return change

    async def publish(self, at: int = 0) -> Change | None:
        """Publish the row at this place of the outbox; None when there is none, or no relay.

        Raises `LogUnavailableError` when the broker is out of reach.
        """
        if not self.alive or not self.outbox:
            return None
        await self._verify()
        change = self.outbox[min(at, len(self.outbox) - 1)]
        await self._append(change.body, change)
        self.outbox.remove(change)
        return change

    async def repeat(self) -> Change | None:
        """Publish the last row once more, as a relay that died before it noted the answer."""
        last = next((row.change for row in reversed(self._acknowledged) if row.change), None)
        if self.alive and last is not None:
            await self._verify()
            await self._append(last.body, last)
        return last

    async def mark(self) -> Mark:
        """Answer a request for a mark; raises `LogUnavailableError` without relay or broker."""
        if not self.alive:
            raise LogUnavailableError("no relay answers")
        await self._verify()
        self._marks += 1
        mark_id = str(self._marks)
        return Mark(await self._append(mark_body(mark_id), None), mark_id)

    def garbage(self) -> None:
        """Commit a change with an outbox row that no consumer can read: it counts as everything."""
        kind = next(kind for kind, (_, tags, _) in enumerate(CHANGES) if "*" in tags)
        change = self._change(kind, "hard")
        unreadable = change._replace(body=b"\xff" + change.body)
        self.changes[unreadable.body] = unreadable
        self._insert(unreadable)

    def lose(self, *, last: int | None = None) -> None:
        """Lose the whole log, or all above `last`, which the broker had acknowledged."""
        if last is None:
            self._epoch += 1
            self.log.recreate(self._epoch * EPOCH)
        else:
            self.log.truncate(last)

    async def _append(self, body: bytes, change: Change | None) -> int:
        waiting = [self._numbers[row.body] for row in self.outbox
                   if row is not change and row.body in self._numbers]  # fmt: skip
        upto = min(waiting, default=len(self.committed)) - 1
        seq = self.log.publish(body, source=SOURCE, source_seq=upto, origin=str(self.origin))
        self._acknowledged.append(Acknowledged(seq, await self.log.stamp(seq), change))
        if change is not None:
            self._announced.add(seq, change, self._clock.monotonic())
        return seq

    async def _verify(self) -> None:
        """Check that the log holds what it acknowledged last, else repair it (rule 7)."""
        if await self._intact():
            return
        if (await self.log.bounds()).first <= self._acknowledged[-1].seq:
            self.lose()  # it is not beyond what was lost
        rows = [row.change for row in self._acknowledged if row.change is not None]
        self._acknowledged.clear()
        for change in rows[-LOST_ROWS_MAX:]:
            self.republished += 1
            await self._append(change.body, change)

    async def _intact(self) -> bool:
        bounds = await self.log.bounds()
        if not self._acknowledged:
            return True
        seq, stamp, _ = self._acknowledged[-1]
        return bounds.first <= seq <= bounds.last and await self.log.stamp(seq) == stamp

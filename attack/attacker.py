"""Somebody with a credential who sends every message of the matrix."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg

from attack.cells import INBOX, Cell, first_cells, reply_cells
from attack.rights import RIGHTS, Right, answered, covering
from attack.system import System
from attack.watch import State, Watch, changed

__all__ = ["Report", "attack"]

# Fields that the server sets, as if it had.
FORGED = {
    "Nats-Sequence": "900000000",
    "Nats-Subject": "cache.marks.v1.api",
    "Nats-Stream": "CACHE_INVALIDATIONS",
    "Nats-Time-Stamp": "2099-01-01T00:00:00Z",
    "Nats-Last-Sequence": "1",
    "Cache-Sequence": "900000000",
}
NOBODY_LISTENS = "503"
FLUSH_S_MAX = 60
CELLS_AT_ONCE = 200
FINDINGS_MAX = 20


class Report(NamedTuple):
    """What an attacker could do beyond its rights, which of those served for nothing, and tries."""

    findings: list[str]
    unused: list[str]
    sent: int


class _Attacker:
    """A connection with the credential of `user`; `reached` are the subjects that answered it."""

    def __init__(self, user: str, rights: Sequence[Right], client: Client) -> None:
        self.user = user
        self.rights = rights
        self.reached: set[str] = set()
        self.changed: set[str] = set()
        self.sent = 0
        self._client = client
        self._inboxes: dict[str, str] = {}

    async def send(self, cells: Sequence[Cell]) -> None:
        """Publish all of `cells`; return when the server has taken them."""
        for cell in cells:
            reply = await self._inbox(cell.subject) if cell.reply == INBOX else cell.reply
            self.sent += 1
            await self._client.publish(
                cell.subject, cell.body.encode(), reply=reply, headers=dict(FORGED)
            )
        await self._client.flush(timeout=FLUSH_S_MAX)

    async def _inbox(self, subject: str) -> str:
        """Return where answers from `subject` come: some have the subject of what they deliver."""
        if subject not in self._inboxes:
            inbox = f"_INBOX_{self.user}.attack.{len(self._inboxes)}"

            async def answer(message: Msg) -> None:
                status = (message.headers or {}).get("Status")
                if message.data or status != NOBODY_LISTENS:
                    self.reached.add(subject)

            await self._client.subscribe(inbox, cb=answer)
            self._inboxes[subject] = inbox
        return self._inboxes[subject]


@asynccontextmanager
async def _attacker(system: System, user: str, rights: Sequence[Right]) -> AsyncIterator[_Attacker]:
    async def refused(_: Exception) -> None:
        """Say nothing: it is refused all the time."""

    client = Client()
    await client.connect(
        system.urls[user], error_cb=refused, inbox_prefix=f"_INBOX_{user}", connect_timeout=30
    )
    try:
        yield _Attacker(user, rights, client)
    finally:
        await client.close()


async def attack(
    system: System,
    user: str,
    *,
    rights: Sequence[Right] | None = None,
    findings_max: int = FINDINGS_MAX,
) -> Report:
    """Send every message of the matrix as `user`, who may do no more than its `rights`.

    Stop once more than `findings_max` are found.
    """
    may = RIGHTS[user] if rights is None else rights
    watch = Watch(system)
    await watch.open()
    async with _attacker(system, user, may) as attacker:
        found = await _tried(watch, attacker, first_cells(system), findings_max)
        found += [f"{each} answers" for each in sorted(answered(may, attacker.reached))]
        if len(found) <= findings_max:
            left = findings_max - len(found)
            found += await _tried(watch, attacker, reply_cells(system, attacker.reached), left)
        unused = [f"{right}" for right in may if not _used(right, attacker)]
        return Report(found, unused, attacker.sent)


def _used(right: Right, attacker: _Attacker) -> bool:
    answers = not (right.subject and right.answers) or any(
        fnmatchcase(subject, right.subject) for subject in attacker.reached
    )
    changes = all(
        any(fnmatchcase(name, pattern) for name in attacker.changed) for pattern in right.changes
    )
    return right.skipped or (answers and changes)


async def _tried(
    watch: Watch, attacker: _Attacker, cells: list[Cell], findings_max: int
) -> list[str]:
    """Return what `cells` changed that they may not.

    Those with the same rights go together, in the order of the rights: without any first.
    """
    rights = attacker.rights
    groups: dict[tuple[int, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[covering(rights, cell)].append(cell)
    found: list[str] = []
    before = await watch.settled()
    for numbers, group in sorted(groups.items(), key=lambda item: item[0][::-1]):
        if any(rights[number].skipped for number in numbers):
            continue
        may = frozenset(name for number in numbers for name in rights[number].changes)
        for start in range(0, len(group), CELLS_AT_ONCE):
            some = group[start : start + CELLS_AT_ONCE]
            await attacker.send(some)
            last = start + CELLS_AT_ONCE >= len(group)
            after = await (watch.settled() if last else watch.state())
            wrong = _wrong(attacker, before, after, may)
            if wrong:
                found += await _named(watch, attacker, some, may, findings_max - len(found)) or [
                    f"{wrong}: by one of {len(some)}, from {some[0]} to {some[-1]}"
                ]
                after = await watch.settled()
            before = after
            if len(found) > findings_max:
                return found
    return found


def _wrong(attacker: _Attacker, before: State, after: State, may: frozenset[str]) -> list[str]:
    """Return what was changed beyond what `may` be."""
    names = changed(before, after)
    attacker.changed |= names
    return sorted(name for name in names if not any(fnmatchcase(name, its) for its in may))


async def _named(
    watch: Watch,
    attacker: _Attacker,
    cells: Sequence[Cell],
    may: frozenset[str],
    findings_max: int,
) -> list[str]:
    """Send `cells` once more, one by one; return which of them changed what they may not."""
    found: list[str] = []
    before = await watch.settled()
    for cell in cells:
        await attacker.send([cell])
        after = await watch.state()
        if wrong := _wrong(attacker, before, after, may):
            found.append(f"{wrong}: by {cell}")
            if len(found) > findings_max:
                break
        before = after
    return found

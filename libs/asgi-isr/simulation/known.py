"""What an instance has been told, and what everybody should know by now: the yardsticks."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from simulation.pages import Page, Vector

Versions = dict[str, int]


class Change(NamedTuple):
    """A committed change: the version that each name has had since, and how strict its event is."""

    body: bytes  # of the event; no two changes have the same
    versions: Versions
    hard: bool


def raise_to(known: Versions, versions: Versions) -> None:
    """Raise each version to that of a change, where that is newer."""
    for name, version in versions.items():
        if version > known.get(name, 0):
            known[name] = version


class Known:
    """The newest version of each name that was announced: by any event, and by hard ones alone.

    `own` are the versions of each page, by path, that unsafe requests through the instance made,
    whose clients have heard of their success; `made_any` and `made_hard` what the instance was told
    to invalidate by the verb. No other instance takes these over.
    """

    __slots__ = ("any", "hard", "made_any", "made_hard", "own")

    def __init__(self) -> None:
        self.any: Versions = {}
        self.hard: Versions = {}
        self.own: dict[str, Vector] = {}
        self.made_any: Versions = {}
        self.made_hard: Versions = {}

    def changed(self, page: Page, vector: Vector) -> None:
        """Note that a client was told of a change of `page` through this instance."""
        before = self.own.get(page.path, vector)
        self.own[page.path] = tuple(map(max, before, vector))

    def made(self, change: Change) -> None:
        """Note that the instance itself was told to invalidate what changed."""
        raise_to(self.made_any, change.versions)
        if change.hard:
            raise_to(self.made_hard, change.versions)

    def take(self, change: Change) -> None:
        """Hear of a change."""
        raise_to(self.any, change.versions)
        if change.hard:
            raise_to(self.hard, change.versions)

    def take_all(self, changes: Iterable[Change]) -> None:
        """Hear of changes, all as hard: whoever joins behind them trusts nothing older."""
        for change in changes:
            raise_to(self.any, change.versions)
            raise_to(self.hard, change.versions)

    def merge(self, other: "Known") -> None:
        """Take over what another one knew."""
        raise_to(self.any, other.any)
        raise_to(self.hard, other.hard)

    def common(self, other: "Known | None") -> "Known":
        """Return a copy: what this one knows, and the other one too if there is one."""
        both = Known()
        other = other or self
        both.any = {name: min(known, other.any.get(name, 0)) for name, known in self.any.items()}
        both.hard = {name: min(known, other.hard.get(name, 0)) for name, known in self.hard.items()}
        return both


class Announced:
    """Which changes were published when; `overdue` holds those older than `lease_s`."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._recent: deque[tuple[float, Change]] = deque()
        self._overdue: Versions = {}
        # What the writers of a snapshot knew, by its position and stamp.
        self.told: dict[tuple[int, str | None], Known] = {}
        self.everything: list[tuple[int, Change]] = []  # (sequence, change), in order
        self.on_add: Callable[[int, Change], None] = lambda _seq, _change: None

    def add(self, seq: int, change: Change, now: float) -> None:
        """Note that the log got a change."""
        self.everything.append((seq, change))
        self._recent.append((now, change))
        self.on_add(seq, change)

    def write_snapshot(self, at: tuple[int, str | None], writer: Known) -> None:
        """Note what the writer of a snapshot knows: whoever joins from it is as well informed."""
        self.told[at] = writer.common(self.told.get(at))

    def overdue(self, now: float) -> Versions:
        """Return the versions that no fresh page may be older than, whatever its instance knows."""
        while self._recent and self._recent[0][0] <= now - self._lease_s:
            raise_to(self._overdue, self._recent.popleft()[1].versions)
        return self._overdue

    def until(self, seq: int) -> Iterable[Change]:
        """Yield what was published at sequence `seq` or before, in this log or a lost one."""
        return (change for at, change in self.everything if at <= seq)


def needed(page: Page, *known: Versions) -> Vector:
    """Return the versions that a page must be made of at least."""
    return tuple(max(versions.get(name, 0) for versions in known) for name in page.names)


def older(vector: Vector, least: Vector) -> bool:
    """Say whether a page with these versions is too old in one of them."""
    return any(map(int.__lt__, vector, least))

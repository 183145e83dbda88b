"""The index of an instance: which tag was invalidated last at which sequence, since its base.

Rules 2 and 5 of the coherence protocol. Hard and soft are kept apart and each only grows, so that a
later soft invalidation never weakens an earlier hard one.
"""

from collections.abc import Iterable
from enum import IntEnum
from itertools import islice, takewhile
from operator import itemgetter

from asgi_isr.coherence.snapshot import Snapshot
from asgi_isr.keys import EVERYTHING

OWN_MAX = 10_000  # tags changed here of which the log says nothing yet; over that it is everything
_UNANNOUNCED = 2**62  # beyond every sequence; plus the number of the change


class Verdict(IntEnum):
    """What an index says of a page: still as new as all that is known, soft or hard overtaken."""

    FRESH = 0
    SOFT = 1
    HARD = 2


class Index:
    """`tag -> last seq that invalidated it`, complete for every sequence above `base`.

    Holds at most `tags_max` tags; over that the oldest are forgotten by raising `base`, about a
    hundredth at a time: no call takes long, and `base`, under which pages are lost, stays low.
    Both dicts are in the order of their sequences.

    `own` are tags that were changed through this very instance, up to the sequence from which on
    pages have seen it: that of the change's event, or of a mark asked for after it. Until one is
    known, no fence is enough. Unlike the rest they outlive a rejoin, since the log may not tell.
    """

    __slots__ = ("_prune_tags", "_tags_max", "base", "changes", "hard", "own", "soft")

    def __init__(self, *, tags_max: int) -> None:
        if tags_max < 1:
            raise ValueError("tags_max must be at least 1")
        self._tags_max = tags_max
        self._prune_tags = tags_max // 100 + 1
        self.base = 0
        self.hard: dict[str, int] = {}
        self.soft: dict[str, int] = {}
        self.own: dict[str, int] = {}
        self.changes = 0  # made through this instance

    def __len__(self) -> int:
        """Return the number of tags held."""
        return len(self.hard) + len(self.soft) + len(self.own)

    def apply(self, tags: Iterable[str], seq: int, *, hard: bool) -> None:
        """Raise `tags` to `seq`. Sequences come in order, so that a plain store only grows."""
        if self.own:
            self._settle(seq)
        known = self.hard if hard else self.soft
        for tag in tags:
            known.pop(tag, None)  # a tag that is raised again moves to the end
            known[tag] = seq
        while len(self.hard) + len(self.soft) > self._tags_max:
            self._prune()

    def verdict(self, tags: Iterable[str], fence: int) -> Verdict:
        """Judge a page with these tags that was rendered at `fence`."""
        if fence < self.base:
            return Verdict.HARD
        found = Verdict.FRESH
        for tag in tags:
            if self.hard.get(tag, 0) > fence or self.own.get(tag, 0) > fence:
                return Verdict.HARD
            if self.soft.get(tag, 0) > fence:
                found = Verdict.SOFT
        return found

    def reset(self, base: int) -> None:
        """Forget everything: nothing with a fence below `base` is trusted from here on."""
        self.base = base
        self.hard.clear()
        self.soft.clear()
        self.own = {tag: seq for tag, seq in self.own.items() if seq > base}

    def change(self, tags: Iterable[str]) -> int:
        """Note that `tags` were changed through this instance just now; return the change's number.

        No page is as new as that, whatever its fence, until `announced` or `marked` says from which
        sequence on they are.
        """
        self.changes += 1
        self.own |= dict.fromkeys(tags, _UNANNOUNCED + self.changes)
        if len(self.own) > OWN_MAX:
            self.own = {EVERYTHING: _UNANNOUNCED + self.changes}
        return self.changes

    def announced(self, number: int, seq: int) -> None:
        """Note that the event of the change of this number was published as `seq`."""
        for tag, at in self.own.items():
            if at == _UNANNOUNCED + number:
                self.own[tag] = seq

    def marked(self, number: int, seq: int) -> None:
        """Note that a mark was published as `seq`, after the change of this number and before."""
        for tag, at in self.own.items():
            if _UNANNOUNCED < at <= _UNANNOUNCED + number:
                self.own[tag] = seq

    def _settle(self, seq: int) -> None:
        """From `seq` on what was changed here is known as everything else is."""
        settled = [tag for tag, at in self.own.items() if at <= seq]
        for tag in settled:
            at = self.own.pop(tag)
            if self.hard.get(tag, 0) < at:  # else its event came before the answer to it
                self.hard.pop(tag, None)
                self.hard[tag] = seq

    def snapshot(self, position: int, stamp: str | None) -> Snapshot:
        """Return a copy for the shared store: some 5 ms for 100,000 tags, at most 25."""
        return Snapshot(
            position=position,
            stamp=stamp,
            base=self.base,
            hard=self.hard.copy(),
            soft=self.soft.copy(),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Take over a snapshot's view of the past."""
        self.base = snapshot.base
        self.hard = _in_order(snapshot.hard)
        self.soft = _in_order(snapshot.soft)
        while len(self.hard) + len(self.soft) > self._tags_max:
            self._prune()

    def _prune(self) -> None:
        """Forget the oldest tags; what was forgotten is covered by the raised base (rule 5)."""
        kinds = [known for known in (self.hard, self.soft) if known]
        # The last of the oldest few of each; up to the smaller one, few are forgotten of either.
        base = min(max(islice(known.values(), self._prune_tags)) for known in kinds)
        self.base = max(self.base, base)
        for known in kinds:
            for tag, _ in list(takewhile(lambda item: item[1] <= base, known.items())):
                del known[tag]


def _in_order(seqs: dict[str, int]) -> dict[str, int]:
    """Return a copy in the order of the sequences."""
    return dict(sorted(seqs.items(), key=itemgetter(1)))

"""The index of an instance: which tag was invalidated last at which sequence, since its base.

Rules 2 and 5 of the coherence protocol. Hard and soft are kept apart and each only grows, so that a
later soft invalidation never weakens an earlier hard one.
"""

from collections.abc import Collection, Iterable
from itertools import islice, takewhile
from operator import itemgetter

from asgi_isr.coherence.rules import RULES, UNANNOUNCED, Invalidated, Rules
from asgi_isr.coherence.snapshot import Snapshot
from asgi_isr.keys import EVERYTHING

OWN_MAX = 10_000  # tags changed here of which the log says nothing yet; over that it is everything


class Index:
    """`tag -> last seq that invalidated it`, complete for every sequence above `base`.

    Holds at most `tags_max` tags; over that the oldest are forgotten by raising `base`, about a
    hundredth at a time: no call takes long, and `base`, under which pages are lost, stays low.
    Both dicts are in the order of their sequences.

    `own_hard` and `own_soft` are tags that were changed through this very instance, up to the
    sequence from which on pages have seen it: that of the change's event, or of a mark asked for
    after it. Until one is known, no fence is enough. Unlike the rest they outlive a rejoin, since
    the log may not tell.
    """

    __slots__ = (
        "_prune_tags", "_rules", "_tags_max", "base", "changes", "hard", "last", "own_hard",
        "own_soft", "prunes", "soft",
    )  # fmt: skip

    def __init__(self, *, tags_max: int, rules: Rules = RULES) -> None:
        if tags_max < 1:
            raise ValueError("tags_max must be at least 1")
        self._rules = rules
        self._tags_max = tags_max
        self._prune_tags = tags_max // 100 + 1
        self.base = 0
        self.last = 0  # applied
        self.hard: dict[str, int] = {}
        self.soft: dict[str, int] = {}
        self.own_hard: dict[str, int] = {}
        self.own_soft: dict[str, int] = {}
        self.changes = 0  # made through this instance
        self.prunes = 0  # how often tags were forgotten for want of room

    def __len__(self) -> int:
        """Return the number of tags held."""
        return len(self.hard) + len(self.soft) + len(self.own_hard) + len(self.own_soft)

    def apply(self, tags: Iterable[str], seq: int, *, hard: bool) -> None:
        """Raise `tags` to `seq`. Sequences come in order, so that a plain store only grows."""
        if self.own_hard or self.own_soft:
            self._settle(seq)
        known = self.hard if hard else self.soft
        for tag in tags:
            known.pop(tag, None)  # a tag that is raised again moves to the end
            known[tag] = seq
        self.last = seq
        while len(self.hard) + len(self.soft) > self._tags_max:
            self._prune()

    def invalidated(self, tags: Collection[str], fence: int) -> Invalidated:
        """Judge a page with these tags that was rendered at `fence`."""
        return self._rules.invalidated(
            tags, fence, base=self.base, hard=self.hard, soft=self.soft,
            own_hard=self.own_hard, own_soft=self.own_soft,
        )  # fmt: skip

    def reset(self, base: int) -> None:
        """Forget everything: nothing with a fence below `base` is trusted from here on."""
        self.base = base
        self.hard.clear()
        self.soft.clear()
        self.own_hard = self._rules.own_after_joining(self.own_hard, base)
        self.own_soft = self._rules.own_after_joining(self.own_soft, base)

    def change(self, tags: Iterable[str], *, hard: bool) -> int:
        """Note that `tags` were changed through this instance just now; return the change's number.

        No page is as new as that, whatever its fence, until `announced` or `marked` says from which
        sequence on they are.
        """
        self.changes += 1
        seq = self._rules.own_seq(self.changes, self.last)
        own = self.own_hard if hard else self.own_soft
        own |= dict.fromkeys(tags, seq)
        if len(own) > OWN_MAX:
            own.clear()
            own[EVERYTHING] = seq
        return self.changes

    def announced(self, change: int, seq: int) -> None:
        """Note that the event of this change was published as `seq`."""
        for own in (self.own_hard, self.own_soft):
            for tag, at in own.items():
                if at == UNANNOUNCED + change:
                    own[tag] = seq

    def marked(self, change: int, seq: int) -> None:
        """Note that a mark was published as `seq`, after this change and those before it."""
        for own in (self.own_hard, self.own_soft):
            for tag, at in own.items():
                if UNANNOUNCED < at <= UNANNOUNCED + change:
                    own[tag] = seq

    def _settle(self, seq: int) -> None:
        """From `seq` on what was changed here is known as everything else is."""
        for own, known in ((self.own_hard, self.hard), (self.own_soft, self.soft)):
            for tag in [tag for tag, at in own.items() if at <= seq]:
                at = own.pop(tag)
                if known.get(tag, 0) < at:  # else its event came before the answer to it
                    known.pop(tag, None)
                    known[tag] = seq

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
        self.base = self._rules.base_after_pruning(self.base, base)
        self.prunes += 1
        for known in kinds:
            for tag, _ in list(takewhile(lambda item: item[1] <= base, known.items())):
                del known[tag]


def _in_order(seqs: dict[str, int]) -> dict[str, int]:
    """Return a copy in the order of the sequences."""
    return dict(sorted(seqs.items(), key=itemgetter(1)))

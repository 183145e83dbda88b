"""The index of an instance: which tag was invalidated last at which sequence, since its base.

Rules 2 and 5 of the coherence protocol. Hard and soft are kept apart and each only grows, so that a
later soft invalidation never weakens an earlier hard one.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice
from math import inf
from operator import itemgetter

from asgi_isr.coherence.rules import RULES, UNANNOUNCED, Invalidated, Rules
from asgi_isr.coherence.snapshot import Snapshot
from asgi_isr.keys import EVERYTHING

SHARE_TAGS_MIN = 2048  # a dict of some thousands grows, and is pruned, in less than 0.2 ms
SHARES_MAX = 64
OWN_MAX = 10_000  # tags changed here of which the log says nothing yet; over that it is everything


class Raised(Mapping[str, int]):
    """`tag -> seq`, spread over several dicts, each in the order of its sequences.

    A single one of 200,000 tags would hold up requests for 10 ms whenever it has to grow.
    """

    __slots__ = ("shares",)

    def __init__(self, shares: int) -> None:
        self.shares: list[dict[str, int]] = [{} for _ in range(shares)]

    def share(self, tag: str) -> dict[str, int]:
        """Return the dict that holds `tag`, if any does."""
        return self.shares[hash(tag) % len(self.shares)]

    def get(self, tag: str, default: int = 0) -> int:  # type: ignore[override]
        """Return the sequence of `tag`."""
        return self.shares[hash(tag) % len(self.shares)].get(tag, default)

    def __getitem__(self, tag: str) -> int:
        """Return the sequence of `tag`."""
        return self.share(tag)[tag]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the tags, in no order."""
        return chain.from_iterable(self.shares)

    def __len__(self) -> int:
        """Return the number of tags held."""
        return sum(map(len, self.shares))

    def copied(self) -> dict[str, int]:
        """Return a copy in one dict."""
        whole: dict[str, int] = {}
        for share in self.shares:
            whole |= share
        return whole

    def replace(self, seqs: Mapping[str, int]) -> None:
        """Hold `seqs` in place of all else."""
        for share in self.shares:
            share.clear()
        for tag, seq in sorted(seqs.items(), key=itemgetter(1)):
            self.share(tag)[tag] = seq


class Index:
    """`tag -> last seq that invalidated it`, complete for every sequence above `base`.

    Holds at most `tags_max` tags; over that the oldest are forgotten by raising `base`, about a
    hundredth of one dict at a time: no call takes long, and `base`, under which pages are lost,
    stays low.

    `own_hard` and `own_soft` are tags that were changed through this very instance, up to the
    sequence from which on pages have seen it: that of the change's event, or of a mark asked for
    after it. Until one is known, no fence is enough. Unlike the rest they outlive a rejoin, since
    the log may not tell.
    """

    __slots__ = (
        "_due", "_prune_tags", "_rules", "_share_tags_max", "base", "changes", "hard", "last",
        "own_hard", "own_soft", "prunes", "soft",
    )  # fmt: skip

    def __init__(self, *, tags_max: int, rules: Rules = RULES) -> None:
        if tags_max < 1:
            raise ValueError("tags_max must be at least 1")
        self._rules = rules
        shares = max(1, min(SHARES_MAX, tags_max // SHARE_TAGS_MIN))
        self._share_tags_max = tags_max // shares
        self._prune_tags = self._share_tags_max // 100 + 1
        self._due: float = inf  # the lowest sequence of what was changed here
        self.base = 0
        self.last = 0  # applied
        self.hard = Raised(shares)
        self.soft = Raised(shares)
        self.own_hard: dict[str, int] = {}
        self.own_soft: dict[str, int] = {}
        self.changes = 0  # made through this instance
        self.prunes = 0  # how often tags were forgotten for want of room

    def __len__(self) -> int:
        """Return the number of tags held."""
        return len(self.hard) + len(self.soft) + len(self.own_hard) + len(self.own_soft)

    def apply(self, tags: Iterable[str], seq: int, *, hard: bool) -> None:
        """Raise `tags` to `seq`. Sequences come in order, so that a plain store only grows."""
        if seq >= self._due:
            self._settle(seq)
        self._raise(tags, seq, hard=hard)
        self.last = seq

    def _raise(self, tags: Iterable[str], seq: int, *, hard: bool) -> None:
        known, others = self.hard.shares, self.soft.shares
        if not hard:
            known, others = others, known
        shares, tags_max = len(known), self._share_tags_max
        for tag in tags:
            share = known[hash(tag) % shares]
            if share.pop(tag, None) is None:  # one that is raised again moves to the end
                at = hash(tag) % shares
                while len(share) + len(others[at]) >= tags_max:
                    self._prune(at)
            share[tag] = seq

    def invalidated(self, tags: Collection[str], fence: int) -> Invalidated:
        """Judge a page with these tags that was rendered at `fence`."""
        return self._rules.invalidated(
            tags, fence, base=self.base, hard=self.hard, soft=self.soft,
            own_hard=self.own_hard, own_soft=self.own_soft,
        )  # fmt: skip

    def reset(self, base: int) -> None:
        """Forget everything: nothing with a fence below `base` is trusted from here on."""
        self.base = base
        self.hard.replace({})
        self.soft.replace({})
        self.own_hard = self._rules.own_after_joining(self.own_hard, base)
        self.own_soft = self._rules.own_after_joining(self.own_soft, base)
        self._find_due()

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
        self._due = min(self._due, seq)

    def marked(self, change: int, seq: int) -> None:
        """Note that a mark was published as `seq`, after this change and those before it."""
        for own in (self.own_hard, self.own_soft):
            for tag, at in own.items():
                if UNANNOUNCED < at <= UNANNOUNCED + change:
                    own[tag] = seq
        self._due = min(self._due, seq)

    def _settle(self, seq: int) -> None:
        """From `seq` on what was changed here is known as everything else is."""
        for own, hard in ((self.own_hard, True), (self.own_soft, False)):
            known = self.hard if hard else self.soft
            for tag in [tag for tag, at in own.items() if at <= seq]:
                at = own.pop(tag)
                if known.get(tag) < at:  # else its event came before the answer to it
                    self._raise((tag,), seq, hard=hard)
        self._find_due()

    def _find_due(self) -> None:
        self._due = min(chain(self.own_hard.values(), self.own_soft.values()), default=inf)

    def snapshot(self, position: int, stamp: str | None) -> Snapshot:
        """Return a copy for the shared store: some 5 ms for 100,000 tags, at most 25."""
        return Snapshot(
            position=position,
            stamp=stamp,
            base=self.base,
            hard=self.hard.copied(),
            soft=self.soft.copied(),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Take over a snapshot's view of the past."""
        self.base = snapshot.base
        self.hard.replace(snapshot.hard)
        self.soft.replace(snapshot.soft)
        for at in range(len(self.hard.shares)):
            while len(self.hard.shares[at]) + len(self.soft.shares[at]) > self._share_tags_max:
                self._prune(at)

    def _prune(self, at: int) -> None:
        """Forget the oldest tags; what was forgotten is covered by the raised base (rule 5)."""
        kinds = [known for known in (self.hard.shares[at], self.soft.shares[at]) if known]
        # The last of the oldest few of each; up to the smaller one, few are forgotten of either.
        base = min(max(islice(known.values(), self._prune_tags)) for known in kinds)
        self.base = self._rules.base_after_pruning(self.base, base)
        self.prunes += 1
        for known in kinds:
            old: list[str] = []
            for tag, seq in known.items():
                if seq > base:
                    break
                old.append(tag)
            for tag in old:
                del known[tag]

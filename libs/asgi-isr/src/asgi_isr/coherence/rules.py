"""The decisions of the coherence protocol: pure functions, with the number of the rule of each.

docs/coherence.md explains the rules and names these functions beside them. Engine, model and
simulation take their decisions here, so that the words are the same in all of them, and so that one
decision can be taken wrongly on purpose, to see that the simulation finds it.

Sequences are those of the log; times are seconds on one monotonic clock.
"""

from collections.abc import Callable, Collection, Mapping
from enum import IntEnum
from typing import Any, NamedTuple, NoReturn

from asgi_isr.ports import Bounds, Mark
from asgi_isr.reports import LEASE_S_MAX

UNANNOUNCED = 2**62  # beyond every sequence; plus the number of the change
NEVER = float("-inf")
MARGIN_S = 1.0  # after a lease: reports are on their way for less


class Invalidated(IntEnum):
    """Whether an index knows of an invalidation that a page is older than, and of which kind."""

    NOT = 0
    SOFT = 1
    HARD = 2


class Seen(NamedTuple):
    """What an instance has seen at a moment: its position, and how many changes made through it."""

    position: int
    changes: int


class Rules:
    """Every decision of the protocol. `Rules(keepable=...)` replaces one; that is for tests.

    Times (`now`, `expires`, `until`, `lease_until`, `asked_at`, `acknowledged_at`, `heard_at`) are
    seconds on one monotonic clock.
    """

    def __init__(self, **replaced: Callable[..., Any]) -> None:
        if unknown := replaced.keys() - names():
            raise TypeError(f"not a rule: {', '.join(sorted(unknown))}")
        self.__dict__.update(replaced)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: the rules of an instance do not change while it runs."""
        raise AttributeError(f"rules are frozen; make new ones: Rules({name}=...)")

    # -- index and pages --------------------------------------------------------------------------

    @staticmethod
    def follows(position: int, seq: int) -> bool:
        """Rule 2: say whether no event is missing between `position` and the one at `seq`."""
        return seq <= position + 1

    @staticmethod
    def applied(position: int, seq: int) -> bool:
        """Rule 2: say whether an instance at `position` has applied the event at `seq`."""
        return position >= seq

    @staticmethod
    def position_within(position: int, seq: int) -> int:  # noqa: ARG004  the fault is to take this
        """Rule 2: return the position of an instance that has applied a part of the event at `seq`.

        That before it: what it has not raised yet it has not seen.
        """
        return position

    @staticmethod
    def names_at_once() -> int:
        """Rule 2: return how many names of an event are raised before requests run again."""
        return 64

    @staticmethod
    def pages_at_once() -> int:
        """Rule 2: return how many pages are marked at once; of more each is judged when used."""
        return 64

    @staticmethod
    def trusted(fence: int, base: int) -> bool:
        """Rule 5: say whether an index, complete above `base`, can judge a page at all."""
        return fence >= base

    @staticmethod
    def invalidated(
        tags: Collection[str], fence: int, *, base: int, hard: Mapping[str, int],
        soft: Mapping[str, int], own_hard: Mapping[str, int], own_soft: Mapping[str, int],
    ) -> Invalidated:  # fmt: skip
        """Rules 2 and 9: judge a page with these tags that was rendered at `fence`.

        A hard invalidation counts whatever soft one came later. `own_hard` and `own_soft` are
        changes made through this instance of which the log has not told yet.
        """
        if fence < base:
            return Invalidated.HARD
        found = Invalidated.NOT
        for tag in tags:
            if hard.get(tag, 0) > fence or own_hard.get(tag, 0) > fence:
                return Invalidated.HARD
            if soft.get(tag, 0) > fence or own_soft.get(tag, 0) > fence:
                found = Invalidated.SOFT
        return found

    @staticmethod
    def fresh(
        *, trusted: bool, invalidated: bool, now: float, expires: float, lease_until: float
    ) -> bool:
        """Rule 8: say whether a page may be called fresh now; `Lookup.hit` has this inlined."""
        return trusted and not invalidated and now < expires and now < lease_until

    @staticmethod
    def base_after_pruning(base: int, forgotten: int) -> int:
        """Rule 5: return the base of an index that forgot what came up to `forgotten`."""
        return max(base, forgotten)

    @staticmethod
    def base_after_joining(end: int, *, beyond: int, base: int) -> int:
        """Rule 6: return the base of an instance that joins at the end of the log.

        `beyond` is more than every position that was ever reached, `base` the one until now.
        """
        return max(end, beyond, base)

    # -- renders ----------------------------------------------------------------------------------

    @staticmethod
    def stamp(fence: int, position: int) -> int:  # noqa: ARG004  the fault is to take this one
        """Rule 3: return the fence of a finished page: the position before its first read.

        `position` is where the instance stands now.
        """
        return fence

    @staticmethod
    def keepable(invalidated: Invalidated, *, joined: bool) -> bool:
        """Rule 3: say whether a page that is just done may be kept, by the index as it is now.

        `joined` says that the instance has not lost its place in the log since the fence.
        """
        return joined and invalidated is Invalidated.NOT

    @staticmethod
    def may_take(arrived: Seen, fence: int, changes: int | None) -> bool:
        """Rule 3: say whether a page that an event overtook is new enough for one who joined.

        It has to hold all that the instance had seen when the request `arrived`: what it had
        consumed, and what was changed through it. `changes` were made before the render began;
        None where the page was new enough when it came.
        """
        return arrived.position <= fence and (changes is None or arrived.changes <= changes)

    @staticmethod
    def is_for(
        selected: str, key: str, *, validate: bool, authorized: bool, public: bool
    ) -> bool:  # fmt: skip
        """Rule 3: say whether a page that another request had rendered is an answer to this one.

        It is of the variant `selected`; not one that the app is asked about each time (`validate`);
        and `public` where the request has credentials (`authorized`).
        """
        return key == selected and not validate and (public or not authorized)

    @staticmethod
    def alone(*, authorized: bool, validate: bool) -> bool:
        """Rule 3: say whether the app has to be asked for this request, whatever others got.

        The request has credentials, or what is held has to be validated at each use.
        """
        return authorized or validate

    @staticmethod
    def usable_from_store(invalidated: Invalidated, fence: int, *, ended: int) -> bool:
        """Rule 4: say whether a page of the store may be used, by the reader's own index.

        `ended` is the fence up to which pages at this key were superseded by what is not stored.
        """
        return invalidated is not Invalidated.HARD and fence > ended

    @staticmethod
    def lock_owner(render: str) -> str:
        """Rule 4: return in whose name a render locks: its own, so that none unlocks another's."""
        return render

    # -- log and lease ----------------------------------------------------------------------------

    @staticmethod
    def holds(bounds: Bounds, position: int, stamp: str | None, found: str | None) -> bool:
        """Rule 7: say whether the log goes on from `position` and holds there what was seen there.

        `stamp` is that of the event seen, None where there was none; `found` what stands there now.
        """
        if not bounds.first - 1 <= position <= bounds.last:
            return False
        return position < bounds.first or stamp is None or found == stamp

    @staticmethod
    def registered(acknowledged_at: float, asked_at: float) -> bool:
        """Rule 11: say whether a registration stands for a lease: one made after it was asked for.

        Only then is whoever may call a page fresh in the live set.
        """
        return acknowledged_at >= asked_at

    @staticmethod
    def consumed(mark: Mark, position: int, marks: Collection[str]) -> bool:
        """Rule 8: say whether this very mark was consumed.

        Another event at its sequence means that the log lost it, and perhaps events with it.
        """
        return position >= mark.seq and mark.id in marks

    @staticmethod
    def lease_until(asked_at: float, lease_s: float, *, left: bool) -> float:
        """Rules 8 and 11: return until when a lease runs whose mark was asked for at `asked_at`.

        Never, for an instance that has `left` the live set.
        """
        return NEVER if left else asked_at + lease_s

    @staticmethod
    def lease_valid(now: float, until: float) -> bool:
        """Rule 8: say whether a lease still runs; asked at each lookup, not by a timer."""
        return now < until

    # -- changes made here, and writes of clients --------------------------------------------------

    @staticmethod
    def own_seq(change: int, last: int) -> int:  # noqa: ARG004  the fault is to take this one
        """Rule 9: return from which sequence on pages have seen a change made through here.

        From none, until its event or a later mark is known, wherever the index stands (`last`):
        other instances may be further on, and what they stored may be older than the change.
        """
        return UNANNOUNCED + change

    @staticmethod
    def own_after_joining(own: Mapping[str, int], base: int) -> dict[str, int]:
        """Rule 9: return the changes made here that an instance still knows when it joins again."""
        return {tag: seq for tag, seq in own.items() if seq > base}

    @staticmethod
    def knows_write(consumed: int, source_seq: int) -> bool:
        """Rule 12: say whether all that a source wrote up to `source_seq` was consumed here."""
        return consumed >= source_seq

    @staticmethod
    def new_as_write(*, soft: bool) -> bool:
        """Rule 12: say whether a page may go to a client whose write is known here.

        Not one with a soft invalidation: lifetime and lease say nothing of the write.
        """
        return not soft

    @staticmethod
    def of_newest_origin(met: Mapping[str, str], newest: Mapping[str, str]) -> bool:
        """Rule 13: say whether what a page was made from is what the log told of last.

        Both are origins by their source; a source of which the log has told none does not do.
        """
        return all(newest.get(source) == origin for source, origin in met.items())

    # -- the live set -----------------------------------------------------------------------------

    @staticmethod
    def live_until(heard_at: float, lease_s: float) -> float:
        """Rule 11: return until when an observer waits for an instance after its last word."""
        return heard_at + min(max(lease_s, 0.0), LEASE_S_MAX) + MARGIN_S

    @staticmethod
    def silent_until(asked_at: float, *, answered: bool) -> float:
        """Rule 11: return until when silence counts: as far as the broker has answered since."""
        return asked_at if answered else NEVER

    @staticmethod
    def complete_after_break(*, complete: bool) -> bool:  # noqa: ARG004  the fault is to trust it
        """Rule 11: say whether the live set is known after what may have cost a message: no."""
        return False


def names() -> frozenset[str]:
    """Return the names of all rules."""
    return frozenset(name for name, value in vars(Rules).items() if isinstance(value, staticmethod))


RULES = Rules()

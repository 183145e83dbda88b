"""Planted faults: the real engine without one guard each. The simulation must find every one.

Each class overrides the one method that is the guard, and nothing else.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from asgi_isr import PageCache
from asgi_isr.coherence import LiveSet
from asgi_isr.coherence.live_set import MARGIN_S
from asgi_isr.engine.cache import Arrival
from asgi_isr.http.policy import Use
from asgi_isr.pages.entry import Entry
from asgi_isr.pages.page import Page
from asgi_isr.ports import Bounds, LogMessage, Mark
from asgi_isr.rendering.flight import Flight
from asgi_isr.rendering.outcomes import Kept, Overtaken, Personal
from asgi_isr.rendering.render_page import PageRenderer
from asgi_isr.rendering.renders import Renders
from asgi_isr.rendering.request import PageRequest

from simulation.instance import ObservedCache, ObservedFollower, ObservedIndex
from simulation.observer import Observer
from simulation.profile import LEASE_S

Made = Kept | Overtaken | Personal


class _KeepingOvertaken(PageRenderer):
    def _keepable(self, page: Page) -> bool:
        return True


class _StampingAtTheEnd(PageRenderer):
    def _stamp(self, fence: int) -> int:
        return self._follower.position or fence


class _RendersKeepingOvertaken(Renders):
    renderer_type = _KeepingOvertaken


class _RendersStampingAtTheEnd(Renders):
    renderer_type = _StampingAtTheEnd


class _PruningUnderTheSameBase(ObservedIndex):
    def _prune(self) -> None:
        base = self.base
        super()._prune()
        self.base = base


class _JoiningUnderNoBase(ObservedIndex):
    def reset(self, base: int) -> None:
        super().reset(base)
        self.base = 0


class _NeverRejoining(ObservedFollower):
    async def _holds(self, bounds: Bounds, position: int, stamp: str | None) -> bool:
        return True

    def _apply(self, batch: Sequence[LogMessage]) -> None:
        if self.position is not None and batch[0].seq > self.position + 1:
            self.position = batch[0].seq - 1
        super()._apply(batch)


class _LeasedByItself(ObservedFollower):
    async def _renew(self, lease_s: float) -> None:
        await self._attached.wait()
        while True:
            self.lease_until = self._clock.monotonic() + lease_s
            await asyncio.sleep(lease_s / 3)


class _LeasedBeforeTheMark(ObservedFollower):
    async def _consumed(self, mark: Mark, timeout_s: float) -> bool:
        return True


class _LockingWithoutOwner(Renders):
    def launch(self, *given: Any, **named: Any) -> Flight:
        flight = super().launch(*given, **named)
        flight.owner = "anybody"
        return flight


class _SoftOverHard(ObservedIndex):
    def apply(self, tags: Iterable[str], seq: int, *, hard: bool) -> None:
        tags = tuple(tags)
        super().apply(tags, seq, hard=hard)
        for tag in () if hard else tags:
            self.hard.pop(tag, None)


class _ChangingNothing(ObservedIndex):
    def change(self, tags: Iterable[str]) -> int:
        return super().change(())


class _ChangingUpToThePosition(ObservedIndex):
    at = 0

    def apply(self, tags: Iterable[str], seq: int, *, hard: bool) -> None:
        super().apply(tags, seq, hard=hard)
        self.at = seq

    def change(self, tags: Iterable[str]) -> int:
        number = super().change(tags)
        self.announced(number, self.at + 1)
        return number


class _JoiningWithoutItsOwn(ObservedIndex):
    def reset(self, base: int) -> None:
        super().reset(base)
        self.own.clear()


class _WithoutFence(ObservedCache):
    renders_type = _RendersKeepingOvertaken


class _WithoutStamp(ObservedCache):
    renders_type = _RendersStampingAtTheEnd


class _WithoutBaseAtPruning(ObservedCache):
    index_type = _PruningUnderTheSameBase


class _WithoutBaseAtJoining(ObservedCache):
    index_type = _JoiningUnderNoBase


class _WithoutRejoin(ObservedCache):
    follower_type = _NeverRejoining


class _WithoutWaiterRule(ObservedCache):
    def _may_take(self, result: Made, arrived: Arrival) -> bool:
        return True


class _WithoutChanges(ObservedCache):
    index_type = _ChangingNothing


class _WithoutEveryFence(ObservedCache):
    index_type = _ChangingUpToThePosition


class _WithoutOwnAtJoining(ObservedCache):
    index_type = _JoiningWithoutItsOwn


class _WithoutChangesBefore(ObservedCache):
    def _may_take(self, result: Made, arrived: Arrival) -> bool:
        return super()._may_take(result, arrived._replace(changes=0))


class _WithoutVariants(ObservedCache):
    def _is_for(self, request: PageRequest, result: Made) -> bool:
        page = msgspec.structs.replace(result.entry.page, key=request.key, vary=())
        entry = Entry(page, now=0.0, wall=0.0)
        return super()._is_for(request, result._replace(entry=entry))


class _WithoutAsking(ObservedCache):
    def _is_for(self, request: PageRequest, result: Made) -> bool:
        page = result.entry.page
        return page.validate or super()._is_for(request, result)


class _WithoutCredentials(ObservedCache):
    def _alone(self, request: PageRequest, entry: Entry | None) -> bool:
        return super()._alone(request._replace(authorized=False), entry)


class _WithoutWaiting(ObservedCache):
    async def reached(self, source: str, number: int) -> bool:
        return True


class _WithoutOwnWrites(ObservedCache):
    def _look(self, key: str, request: PageRequest) -> tuple[Entry | None, Use]:
        return super()._look(key, request._replace(after_a_write=False))


class _WithoutLease(ObservedCache):
    follower_type = _LeasedByItself


class _WithoutMark(ObservedCache):
    follower_type = _LeasedBeforeTheMark


class _WithoutOwner(ObservedCache):
    renders_type = _LockingWithoutOwner


class _WithoutHardApart(ObservedCache):
    index_type = _SoftOverHard


class _LeasedUnregistered(ObservedFollower):
    async def _renew_once(self, asked_at: float, lease_s: float) -> bool:
        self.register = None
        return await super()._renew_once(asked_at, lease_s)


class _LeavingWithItsLease(ObservedFollower):
    def end_lease(self) -> None:
        """Go on."""


class _WithoutRegistration(ObservedCache):
    follower_type = _LeasedUnregistered


class _WithoutEndOfLease(ObservedCache):
    follower_type = _LeavingWithItsLease


class _ForgettingAtOnce(LiveSet):
    def expire(self, now: float) -> list[str]:
        return super().expire(now + LEASE_S + MARGIN_S)


class _SureAfterABreak(LiveSet):
    def lost(self) -> None:
        """Trust that nobody entered."""


class _ForgettingObserver(Observer):
    live_type = _ForgettingAtOnce


class _SureObserver(Observer):
    live_type = _SureAfterABreak

    def _load(self, connection: int) -> None:
        if connection == 1:
            super()._load(connection)


class _BelievingObserver(Observer):
    def _look(self, connection: int) -> None:
        self._silent_until(self._loop.time())
        self._judge()
        super()._look(connection)


class Fault(NamedTuple):
    """A guard that is left out, and the invariants of which its absence breaks one."""

    cache_type: type[PageCache]
    what: str
    breaks: frozenset[str]
    observer_type: type[Observer] = Observer

    @property
    def types(self) -> tuple[type[PageCache], type[Observer]]:
        """Of what a schedule with this fault is made."""
        return self.cache_type, self.observer_type


_AGE = frozenset({"seen", "stale", "quiet"})
_UNSAFE = frozenset({"unsafe"})
_EVERYWHERE = frozenset({"everywhere"})

FAULTS = {
    "fence": Fault(_WithoutFence, "an overtaken render is kept", _AGE),
    "stamp": Fault(_WithoutStamp, "a page carries the position at which it is stored", _AGE),
    "base-pruning": Fault(_WithoutBaseAtPruning, "tags are forgotten under the same base", _AGE),
    "base-joining": Fault(_WithoutBaseAtJoining, "a joiner trusts pages from before it", _AGE),
    "rejoin": Fault(
        _WithoutRejoin, "a recreated log or a gap goes unnoticed", _AGE | frozenset({"lease"})
    ),
    "waiter": Fault(
        _WithoutWaiterRule,
        "a request takes a render older than what it has seen",
        frozenset({"arrived"}),
    ),
    "lease": Fault(_WithoutLease, "the lease renews itself without a mark", frozenset({"lease"})),
    "mark": Fault(
        _WithoutMark, "the lease runs before the mark was consumed", frozenset({"lease"})
    ),
    "owner": Fault(
        _WithoutOwner, "a render lock of another instance is given back", frozenset({"one render"})
    ),
    "soft": Fault(
        _WithoutHardApart, "a later soft invalidation weakens a hard one", frozenset({"stale"})
    ),
    "change": Fault(_WithoutChanges, "an unsafe request does not raise the index", _UNSAFE),
    "change-fence": Fault(
        _WithoutEveryFence, "what it changed counts as changed at the position alone", _UNSAFE
    ),
    "change-joining": Fault(
        _WithoutOwnAtJoining, "an instance forgets what was changed there when it joins", _UNSAFE
    ),
    "change-waiter": Fault(
        _WithoutChangesBefore, "a request takes a render older than what was changed", _UNSAFE
    ),
    "variant": Fault(
        _WithoutVariants, "a request takes a render of another variant", frozenset({"variant"})
    ),
    "asked": Fault(
        _WithoutAsking,
        "a request takes a render of a page that is asked for each time",
        frozenset({"asked"}),
    ),
    "personal": Fault(
        _WithoutCredentials,
        "a request with credentials takes what others had rendered",
        frozenset({"personal"}),
    ),
    "write-waiting": Fault(
        _WithoutWaiting, "nobody waits for a client's own write", frozenset({"written"})
    ),
    "write-soft": Fault(
        _WithoutOwnWrites,
        "a client gets a page that a soft event for its own write made stale",
        frozenset({"written"}),
    ),
    "live-registration": Fault(
        _WithoutRegistration, "an instance renews its lease without registering", _EVERYWHERE
    ),
    "live-leaving": Fault(
        _WithoutEndOfLease, "an instance leaves and still calls pages fresh", _EVERYWHERE
    ),
    "live-lease": Fault(
        ObservedCache, "an observer forgets an instance before its lease ended", _EVERYWHERE,
        _ForgettingObserver,
    ),
    "live-loading": Fault(
        ObservedCache, "an observer is sure after its link broke, without loading", _EVERYWHERE,
        _SureObserver,
    ),
    "live-silence": Fault(
        ObservedCache, "an observer takes the silence of its own link for that of all",
        _EVERYWHERE, _BelievingObserver,
    ),
}  # fmt: skip

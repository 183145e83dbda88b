"""Planted faults: the real engine with one rule replaced. The simulation must find every one.

Each replaces the one decision of `asgi_isr.coherence.Rules` that is the guard, and nothing else.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from asgi_isr.coherence import RULES, Invalidated, Rules, Seen

FOREVER = float("inf")


class Fault(NamedTuple):
    """What goes wrong by `rules` that lack a guard, and the invariants of which it breaks one."""

    what: str
    breaks: frozenset[str]
    rules: Rules


def _fault(what: str, breaks: frozenset[str] | str, **replaced: Callable[..., Any]) -> Fault:
    broken = frozenset({breaks}) if isinstance(breaks, str) else breaks
    return Fault(what, broken, Rules(**replaced))


def _soft_over_hard(
    tags: Collection[str], fence: int, *, hard: Mapping[str, int], soft: Mapping[str, int],
    **known: Any,
) -> Invalidated:  # fmt: skip
    weakened = {tag: hard[tag] for tag in tags if hard.get(tag, 0) > soft.get(tag, 0)}
    return RULES.invalidated(tags, fence, hard=weakened, soft=soft, **known)


def _may_take_changed(arrived: Seen, fence: int, changes: int | None) -> bool:
    return RULES.may_take(arrived._replace(changes=0), fence, changes)


def _is_for_any_variant(_selected: str, key: str, **asked: bool) -> bool:
    return RULES.is_for(key, key, **asked)


def _is_for_validated(selected: str, key: str, *, validate: bool, **asked: bool) -> bool:
    return validate or RULES.is_for(selected, key, validate=False, **asked)


def _endless_lease(asked_at: float, lease_s: float, *, left: bool) -> float:
    runs = RULES.lease_until(asked_at, lease_s, left=left)
    return FOREVER if runs > 0 else runs


def _lease_after_leaving(asked_at: float, lease_s: float, *, left: bool) -> float:
    del left
    return RULES.lease_until(asked_at, lease_s, left=False)


_AGE = frozenset({"seen", "stale", "quiet"})

FAULTS = {
    "fence": _fault(
        "an overtaken render is kept", _AGE,
        keepable=lambda _invalidated, *, joined: joined,
    ),
    "stamp": _fault(
        "a page carries the position at which it is stored", _AGE,
        stamp=lambda _fence, position: position,
    ),
    "base-pruning": _fault(
        "tags are forgotten under the same base", _AGE,
        base_after_pruning=lambda base, _forgotten: base,
    ),
    "base-joining": _fault(
        "a joiner trusts pages from before it", _AGE,
        base_after_joining=lambda _end, **_known: 0,
    ),
    "rejoin": _fault(
        "a recreated log or a gap goes unnoticed", _AGE | {"lease"},
        holds=lambda *_seen: True, follows=lambda _position, _seq: True,
    ),
    "store": _fault(
        "a page of the store is taken whatever the index says", _AGE,
        usable_from_store=lambda _invalidated, fence, *, ended: fence > ended,
    ),
    "waiter": _fault(
        "a request takes a render older than what it has seen", "arrived",
        may_take=lambda *_seen: True,
    ),
    "lease": _fault("a lease once granted does not end", "lease", lease_until=_endless_lease),
    "mark": _fault(
        "the lease runs before the mark was consumed", "lease", consumed=lambda *_seen: True
    ),
    "owner": _fault(
        "a render lock of another instance is given back", "one render",
        lock_owner=lambda _render: "anybody",
    ),
    "soft": _fault(
        "a later soft invalidation weakens a hard one", "stale", invalidated=_soft_over_hard
    ),
    "change": _fault(
        "an unsafe request does not raise the index", "unsafe", own_seq=lambda _change, _last: 0
    ),
    "change-fence": _fault(
        "what it changed counts as changed at the position alone", "unsafe",
        own_seq=lambda _change, last: last + 1,
    ),
    "change-joining": _fault(
        "an instance forgets what was changed there when it joins", "unsafe",
        own_after_joining=lambda _own, _base: {},
    ),
    "change-waiter": _fault(
        "a request takes a render older than what was changed", "unsafe",
        may_take=_may_take_changed,
    ),
    "invalidate-hard": _fault(
        "what an instance was told to invalidate is not held against older pages", "made",
        invalidated=lambda tags, fence, **known: RULES.invalidated(
            tags, fence, **(known | {"own_hard": {}})
        ),
    ),
    "invalidate-soft": _fault(
        "the same, where it was told to do so softly", "made",
        invalidated=lambda tags, fence, **known: RULES.invalidated(
            tags, fence, **(known | {"own_soft": {}})
        ),
    ),
    "applied": _fault(
        "an instance says that it has applied what it has not", "seen",
        applied=lambda _position, _seq: True,
    ),
    "variant": _fault(
        "a request takes a render of another variant", "variant", is_for=_is_for_any_variant
    ),
    "asked": _fault(
        "a request takes a render of a page that is asked for each time", "asked",
        is_for=_is_for_validated,
    ),
    "personal": _fault(
        "a request with credentials takes what others had rendered", "personal",
        alone=lambda *, authorized, validate: validate,  # noqa: ARG005  that is the fault
    ),
    "write-waiting": _fault(
        "nobody waits for a client's own write", "written",
        knows_write=lambda _consumed, _source_seq: True,
    ),
    "write-soft": _fault(
        "a client gets a page that a soft event for its own write made stale", "written",
        new_as_write=lambda **_held: True,
    ),
    "origin": _fault(
        "a page made from another database than the log tells of is stored", _AGE,
        of_newest_origin=lambda _met, _newest: True,
    ),
    "live-registration": _fault(
        "an instance renews its lease without registering", "everywhere",
        registered=lambda _acknowledged_at, _asked_at: True,
    ),
    "live-leaving": _fault(
        "an instance leaves and still calls pages fresh", "everywhere",
        lease_until=_lease_after_leaving,
    ),
    "live-lease": _fault(
        "an observer forgets an instance before its lease ended", "everywhere",
        live_until=lambda heard_at, _lease_s: heard_at,
    ),
    "live-loading": _fault(
        "an observer is sure after its link broke, without loading", "everywhere",
        complete_after_break=lambda *, complete: complete,
    ),
    "live-silence": _fault(
        "an observer takes the silence of its own link for that of all", "everywhere",
        silent_until=lambda asked_at, **_answer: asked_at,
    ),
}  # fmt: skip

"""Exhaustive check of the coherence protocol.

One page that depends on two tags, N instances, every interleaving.

Every decision is taken by `asgi_isr.coherence.Rules`, as in the engine.

usage: coherence_model.py [WRITES INSTANCES CRASHES RECREATIONS [RULE_TO_BREAK]]

RULE_TO_BREAK, taken wrongly to see that it is needed:
    keepable            an overtaken render is kept
    stamp               a page is stamped when it is stored, as others do
    usable_from_store   a page of the store is taken whatever the index says
    base_after_pruning  pruning forgets the past without raising the base
    base_after_joining  a joiner trusts pages from before it
    holds               a recreated log goes unnoticed

Two things are checked in every state:
    seen   a page that an instance holds as fresh is at least as new as every invalidation that this
           instance has consumed
    quiet  when nothing is in flight and every instance is at the end of the log, every fresh page
           equals the database
"""

import sys
from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from asgi_isr.coherence import RULES, Invalidated, Rules
from asgi_isr.ports import Bounds

BROKEN = {
    "keepable": Rules(keepable=lambda _invalidated, *, joined: joined),
    "stamp": Rules(stamp=lambda _fence, position: position),
    "usable_from_store": Rules(usable_from_store=lambda _invalidated, _fence, **_ended: True),
    "base_after_pruning": Rules(base_after_pruning=lambda base, _forgotten: base),
    "base_after_joining": Rules(base_after_joining=lambda _end, **_known: 0),
    "holds": Rules(holds=lambda *_seen: True),
}

TAGS = (0, 1)
GAP = 5  # a recreated log starts beyond every sequence ever used

Versions = tuple[int, int]
Page = tuple[Versions, int]  # (what was read, fence)


class Instance(NamedTuple):
    position: int  # last sequence consumed
    base: int  # nothing with a lower fence is trusted
    raised: Versions  # the index: tag -> last sequence that invalidated it, since base
    local: Page | None
    render: tuple[int, Versions | None] | None  # (fence, what was read)
    seen: Versions  # newest version announced to this instance; only for the check


class State(NamedTuple):
    database: Versions
    outbox: tuple[tuple[int, int], ...]  # committed, not yet published: (tag, version)
    log: tuple[tuple[int, int], ...]
    first: int  # sequence of log[0]
    shared: Page | None
    snapshot: tuple[int, int, Versions] | None  # (position, base, index)
    instances: tuple[Instance, ...]
    writes: int
    crashes: int
    recreations: int


def put(pair: Versions, tag: int, value: int) -> Versions:
    return (value, pair[1]) if tag == 0 else (pair[0], value)


def end(s: State) -> int:
    return s.first + len(s.log) - 1


def bounds(s: State) -> Bounds:
    return Bounds(s.first, end(s))


def joined(s: State, rules: Rules, *, beyond: int = 0, base: int = 0) -> Instance:
    """Return an instance that knows nothing of the past."""
    base = rules.base_after_joining(end(s), beyond=beyond, base=base)
    return Instance(end(s), base, (0, 0), None, None, (0, 0))


def steps(s: State, rules: Rules) -> Iterator[tuple[str, State]]:
    if s.writes:
        for tag in TAGS:
            database = put(s.database, tag, s.database[tag] + 1)
            yield (
                f"write{tag}",
                s._replace(
                    database=database, outbox=(*s.outbox, (tag, database[tag])), writes=s.writes - 1
                ),
            )
    if s.outbox:
        yield "publish", s._replace(log=(*s.log, s.outbox[0]), outbox=s.outbox[1:])
    if s.recreations:
        yield (
            "recreate-log",
            s._replace(log=(), first=end(s) + 1 + GAP, recreations=s.recreations - 1),
        )
    for i, x in enumerate(s.instances):
        for action, instance, change in instance_steps(s, x, rules):
            instances = (*s.instances[:i], instance, *s.instances[i + 1 :])
            yield f"{action}@{i}", s._replace(instances=instances, **change)


@cache
def invalidated(rules: Rules, base: int, raised: Versions, fence: int) -> Invalidated:
    """Judge a page with both tags, which hard invalidations have `raised`."""
    hard = {str(tag): raised[tag] for tag in TAGS}
    return rules.invalidated(
        hard.keys(), fence, base=base, hard=hard, soft={}, own_hard={}, own_soft={}
    )


def instance_steps(
    s: State, x: Instance, rules: Rules
) -> Iterator[tuple[str, Instance, dict[str, Any]]]:
    yield "snapshot", x, {"snapshot": (x.position, x.base, x.raised)}
    if s.crashes:
        spent = {"crashes": s.crashes - 1}
        yield "crash-join-end", joined(s, rules), spent
        if s.snapshot and rules.holds(bounds(s), s.snapshot[0], None, None):
            yield "crash-join-snapshot", Instance(*s.snapshot, None, None, (0, 0)), spent
    yield (
        "prune",
        x._replace(base=rules.base_after_pruning(x.base, x.position), raised=(0, 0)),
        {},
    )
    if not rules.holds(bounds(s), x.position, None, None):
        yield "rejoin", joined(s, rules, beyond=x.position + 1, base=x.base), {}
    elif x.position + 1 < s.first:  # goes on where the log begins now, as if nothing were lost
        yield "skip", x._replace(position=s.first - 1), {}
    elif x.position < end(s):
        seq = x.position + 1
        tag, version = s.log[seq - s.first]
        local = None if x.local and x.local[1] < seq else x.local
        seen = put(x.seen, tag, max(version, x.seen[tag]))
        yield (
            "consume",
            x._replace(position=seq, raised=put(x.raised, tag, seq), local=local, seen=seen),
            {},
        )
    yield from render_steps(s, x, rules)


def render_steps(
    s: State, x: Instance, rules: Rules
) -> Iterator[tuple[str, Instance, dict[str, Any]]]:
    if x.render is None:
        yield "render", x._replace(render=(x.position, None)), {}
        if x.local is None and s.shared:
            judged = invalidated(rules, x.base, x.raised, s.shared[1])
            if rules.usable_from_store(judged, s.shared[1], ended=-1):
                yield "shared-hit", x._replace(local=s.shared), {}
        return
    fence, versions = x.render
    if versions is None:
        yield "read", x._replace(render=(fence, s.database)), {}
    else:
        page = (versions, rules.stamp(fence, x.position))
        kept = rules.keepable(invalidated(rules, x.base, x.raised, page[1]), joined=True)
        done = x._replace(render=None, local=page if kept else None)
        yield "fill-local", done, {}
        if not (s.shared and s.shared[1] > page[1]):
            yield "fill", done, {"shared": page}


def broken(s: State) -> str | None:
    quiet = not s.outbox and all(x.position == end(s) for x in s.instances)
    for x in s.instances:
        if x.local and any(x.local[0][tag] < x.seen[tag] for tag in TAGS):
            return "seen"
        if x.local and quiet and x.local[0] != s.database:
            return "quiet"
    return None


def check(start: State, rules: Rules, states_max: int = 6_000_000) -> int:
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        for action, after in steps(state, rules):
            if after in came_from:
                continue
            came_from[after] = (state, action)
            if promise := broken(after):
                path: list[str] = []
                cursor = after
                while (origin := came_from[cursor]) is not None:
                    cursor, step = origin
                    path.append(step)
                print(f"'{promise}' VIOLATED by:", " ".join(reversed(path)))
                return 1
            queue.append(after)
        if len(came_from) > states_max:
            print(f"no violation in the first {len(came_from)} states (cut off)")
            return 0
    print(f"holds in all {len(came_from)} states")
    return 0


def main() -> int:
    writes, instances, crashes, recreations = [int(n) for n in sys.argv[1:5]] or [2, 2, 0, 0]
    cold = Instance(0, 0, (0, 0), None, None, (0, 0))
    start = State((0, 0), (), (), 1, None, None, (cold,) * instances, writes, crashes, recreations)
    return check(start, BROKEN[sys.argv[5]] if len(sys.argv) > 5 else RULES)


if __name__ == "__main__":
    sys.exit(main())

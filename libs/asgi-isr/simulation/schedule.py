"""One schedule: a seed decides what happens, in which order; every answer is judged."""

import asyncio
import random
from typing import NamedTuple

from asgi_isr.coherence import RULES, Rules

from simulation import plots, steps, troubles
from simulation.fleet import Fleet
from simulation.loop import SimulatedLoop, StuckError
from simulation.pages import PAGES, WEIGHTS
from simulation.profile import LEASE_S, Profile, draw
from simulation.quiet import judge, settle
from simulation.tally import Tally
from simulation.trace import Trace
from simulation.world import World

CORE = (
    (30, steps.request), (5, steps.write), (8, steps.change), (8, steps.publish),
    (0.5, steps.repeat), (0.3, steps.garbage), (1.5, steps.crash), (1.5, steps.snapshot),
    (0.5, steps.old_snapshot),
)  # fmt: skip

# How often each comes in a schedule that was drawn for it; what delays events finds most.
TROUBLES: tuple[tuple[float, steps.Step], ...] = (
    (3, troubles.lag), (3, troubles.trickle), (2, troubles.freeze), (1, troubles.cut),
    (1, troubles.slow), (1, troubles.log_down), (1.5, troubles.relay_dead),
    (1.5, troubles.log_lost), (1.5, troubles.tail_lost), (1, troubles.stranger),
    (1, troubles.store_cleared), (2, troubles.old_values), (1.5, troubles.puts_lost),
    (1, troubles.answers_lost), (1, troubles.store_errs), (1, troubles.store_slow),
    (1, troubles.store_frozen), (1, troubles.store_down), (2, troubles.vary),
    (4, plots.changed_apart), (1.5, troubles.observer_breaks), (1, troubles.observer_freezes),
    (1, troubles.observer_restarts), (1.5, troubles.reports_lost), (2, plots.asked_at_the_end),
    (2, plots.unseen), (2, plots.wrote_softly), (3, plots.invalidated_here),
    (2, troubles.databases),
)  # fmt: skip


class Outcome(NamedTuple):
    """What came of a schedule; `violation` names the invariant that did not hold, if any."""

    seed: int
    violation: str | None
    page: str
    tally: Tally
    trace: Trace
    steps: int
    calls: int


def run(seed: int, rules: Rules = RULES) -> Outcome:
    """Run the schedule of this seed by these rules, at instances and at their observer."""
    rng = random.Random(seed)
    profile = draw(rng, troubles=len(TROUBLES), changes=WEIGHTS, pages=len(PAGES))
    loop = SimulatedLoop(None if profile.ordered else random.Random(rng.random()))
    world = World(loop, rng, profile, rules)
    try:
        loop.run_until_complete(_live(world, rules))
    except (StuckError, BaseExceptionGroup) as error:
        world.violated("ends", "", repr(error))
    for complaint in loop.complaints:
        world.violated("ends", "", complaint)
    left = [task.get_name() for task in loop.tasks if not task.done()]
    if left and world.violation is None:
        world.violated("nothing left", "", f"tasks: {left}")
    loop.close()
    world.tally["event: published again after a loss"] += world.writers.republished
    return Outcome(
        seed, world.violation, world.violated_page, world.tally, world.trace, profile.steps,
        loop.calls,
    )  # fmt: skip


def _at_pace(rules: Rules, profile: Profile) -> Rules:
    """Return `rules` by which events are raised in parts as small as the profile wants them."""
    return Rules(
        **vars(rules), names_at_once=lambda: profile.names_at_once,
        pages_at_once=lambda: profile.pages_at_once,
    )  # fmt: skip


async def _live(world: World, rules: Rules) -> None:
    async with asyncio.TaskGroup() as processes:
        async with asyncio.TaskGroup() as clients:
            world.observer.attach()
            fleet = Fleet(
                world, _at_pace(rules, world.profile), processes=processes, clients=clients
            )
            for _ in range(world.profile.instances):
                fleet.start()
            await asyncio.sleep(world.pause_s(LEASE_S))  # half of them begin with all instances up
            await _stir(fleet)
        if world.violation is None:
            await settle(fleet)
        if world.violation is None:
            await judge(fleet)
        for instance in fleet.living.copy():
            fleet.end(instance, kill=False)
    await asyncio.sleep(0.001)  # the callbacks of tasks that are done may come after their group
    if world.violation is None:
        for instance in fleet.ended:
            for left in instance.remains():
                world.violated("nothing left", "", left)


async def _stir(fleet: Fleet) -> None:
    """Take the steps of the schedule, with some time between them."""
    world = fleet.world
    possible = [*CORE, *(TROUBLES[number] for number in world.profile.troubles)]
    weights = [weight for weight, _ in possible]
    for _, step in world.rng.choices(possible, weights, k=world.profile.steps):
        await step(fleet)
        if world.violation is not None:
            return
        await asyncio.sleep(world.pause_s(world.profile.pause_s_max))

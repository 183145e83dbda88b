"""Many seeds, in one process or one for each core, within a time limit."""

import gc
import itertools
import logging
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from asgi_isr.ports import Clock, SystemClock

from simulation.faults import FAULTS
from simulation.schedule import Outcome, run
from simulation.seeds import tried
from simulation.tally import Tally

VIOLATIONS_MAX = 3  # of one process, which then stops: the first one is what matters
COLLECT_EVERY = 50  # schedules between two garbage collections: they cost less together


class Report(NamedTuple):
    """What a run came to; `violations` are (seed, invariant), in the order of the seeds."""

    schedules: int
    steps: int
    calls: int
    tally: Tally
    violations: list[tuple[int, str]]


class Found(NamedTuple):
    """After how many seeds a planted fault was found, and by which invariant."""

    fault: str
    seeds: int
    seed: int
    invariant: str


@contextmanager
def quietly() -> Iterator[None]:
    """Run without the engine's log messages, and with garbage collected between schedules only."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        logging.disable(level)


def outcomes(seeds: Iterator[int], fault: str = "") -> Iterator[Outcome]:
    """Yield what comes of each seed, on the engine as it is or with a planted fault."""
    for number, seed in enumerate(seeds):
        if number % COLLECT_EVERY == COLLECT_EVERY - 1:
            gc.collect()
        yield run(seed, FAULTS[fault].rules) if fault else run(seed)


def _share(first: int, step: int, seeds_max: int, seconds_max: float) -> Report:
    """Run every `step`-th seed from `first` on: one process's share."""
    clock: Clock = SystemClock()
    deadline = clock.monotonic() + seconds_max
    schedules = steps = calls = 0
    tally = Tally()
    violations: list[tuple[int, str]] = []
    with quietly():
        for outcome in outcomes(iter(range(first, seeds_max, step))):
            schedules += 1
            steps += outcome.steps
            calls += outcome.calls
            tally.update(outcome.tally)
            if outcome.violation is not None:
                violations.append((outcome.seed, outcome.violation))
            if clock.monotonic() > deadline or len(violations) >= VIOLATIONS_MAX:
                break
    return Report(schedules, steps, calls, tally, violations)


def search(*, first: int, seeds_max: int, seconds_max: float, jobs: int) -> Report:
    """Run seeds from `first` on: at most `seeds_max`, for at most `seconds_max` seconds."""
    end = first + seeds_max
    if jobs == 1:
        return _share(first, 1, end, seconds_max)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        shares = list(
            pool.map(
                _share,
                range(first, first + jobs),
                itertools.repeat(jobs, jobs),
                itertools.repeat(end),
                itertools.repeat(seconds_max),
            )
        )
    return Report(
        sum(share.schedules for share in shares),
        sum(share.steps for share in shares),
        sum(share.calls for share in shares),
        sum((share.tally for share in shares), Tally()),
        sorted(violation for share in shares for violation in share.violations)[:VIOLATIONS_MAX],
    )


def find(fault: str, *, first: int = 0, seeds_max: int) -> Found | None:
    """Run the kept seed with a planted fault, and seeds from `first` on.

    Return by which one an invariant that it breaks was violated, None if by none of them.
    """
    seeds = tried(fault, range(first, first + seeds_max))
    with quietly():
        for number, outcome in enumerate(outcomes(seeds, fault), start=1):
            if outcome.violation in FAULTS[fault].breaks:
                return Found(fault, number, outcome.seed, outcome.violation)
    return None

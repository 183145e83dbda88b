"""The simulation of the protocol: the engine keeps its promises, and each guard is needed."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from simulation.__main__ import main
from simulation.campaign import find, quietly, search
from simulation.faults import FAULTS
from simulation.loop import START_S, SimulatedLoop, StuckError
from simulation.schedule import run
from simulation.starvation import CLIENTS, DURATION_S, RENDER_S, measure
from simulation.tally import REQUIRED_SEEDS_MIN, missing

FOLDER = Path(__file__).parents[2]
# The seed that finds each planted fault at once. A change of the engine changes what a seed does,
# so some more are tried; then `make simulate` tells the new ones.
FOUND_BY = {
    "fence": 4, "stamp": 0, "base-pruning": 12, "base-joining": 2, "rejoin": 86, "waiter": 4,
    "lease": 22, "mark": 223, "owner": 5, "soft": 36, "change": 10, "change-fence": 10,
    "change-joining": 96, "change-waiter": 86, "variant": 5, "asked": 53, "personal": 23,
    "write-waiting": 1, "write-soft": 198, "live-registration": 22, "live-leaving": 3,
    "live-lease": 4, "live-loading": 21, "live-silence": 14,
}  # fmt: skip
MORE_SEEDS = 150


def test_no_schedule_breaks_a_promise() -> None:
    """Random schedules do everything that can happen, and no invariant is violated."""
    report = search(first=0, seeds_max=REQUIRED_SEEDS_MIN, seconds_max=120, jobs=1)
    assert (report.violations, missing(report.tally)) == ([], [])
    assert report.schedules == REQUIRED_SEEDS_MIN
    assert report.steps >= 40 * report.schedules


@pytest.mark.parametrize("fault", FAULTS)
def test_each_guard_is_needed(fault: str) -> None:
    """Without one guard of the engine an invariant that speaks of it is violated."""
    found = find(fault, first=FOUND_BY[fault], seeds_max=MORE_SEEDS)
    assert found is not None
    assert found.invariant in FAULTS[fault].breaks


def test_seeds_replay_exactly() -> None:
    """The same seeds give the same traces again, wherever their objects lie in memory."""
    with quietly():
        first = [run(seed) for seed in range(20)]
        second = [run(seed) for seed in reversed(range(20))]
    assert [one.trace.digest() for one in first] == [one.trace.digest() for one in second[::-1]]
    assert first[3].trace == second[-4].trace


def test_seed_replays_exactly_in_other_processes() -> None:
    """The order of sets, which differs between processes, changes nothing."""
    digests = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "simulation", "--seed", "3"],
            cwd=FOLDER, env={"PYTHONHASHSEED": hash_seed}, capture_output=True, check=True,
            text=True, timeout=60,
        )  # fmt: skip
        digests.add(done.stdout.split()[-1])
    with quietly():
        assert {run(3).trace.digest()} == digests


def test_failure_is_shown_with_its_replay(capsys: pytest.CaptureFixture[str]) -> None:
    """A violation ends with 1, the invariant, the last moments, and the command that replays it."""
    seed = FOUND_BY["stamp"]
    assert main(["--seed", str(seed), "--fault", "stamp"]) == 1
    shown = capsys.readouterr().out
    assert "'seen' VIOLATED: " in shown
    assert "render begins" in shown
    assert f"make simulate SEED={seed} FAULT=stamp" in shown


@pytest.mark.parametrize("seed", range(3))
def test_nobody_starves(seed: int) -> None:
    """A page invalidated faster than it renders is kept at times; each client waits two renders."""
    fed = measure(seed)
    assert fed.stored >= 5
    assert fed.fresh >= CLIENTS
    assert fed.overlaps == 0
    assert fed.renders <= DURATION_S / RENDER_S[0] + 1
    assert fed.waited_s_max <= 2 * RENDER_S[1]


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    """Make a simulated loop that may make few calls."""
    loop = SimulatedLoop(random.Random(1), calls_max=1_000)
    yield loop
    loop.close()


def test_time_jumps_to_the_next_timer(loop: SimulatedLoop) -> None:
    """An hour of waiting takes no time."""
    loop.run_until_complete(_sleep(3_600))
    assert loop.time() == START_S + 3_600


def test_deadlock_is_told(loop: SimulatedLoop) -> None:
    """When every task waits and nothing will come, the loop says so."""
    with pytest.raises(StuckError, match="no timer is set"):
        loop.run_until_complete(loop.create_future())


def test_endless_turning_is_told(loop: SimulatedLoop) -> None:
    """A task that never lets time pass is stopped."""
    with pytest.raises(StuckError, match="more than 1000 calls"):
        loop.run_until_complete(_turn_for_ever())


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def _turn_for_ever() -> None:
    while True:
        await asyncio.sleep(0)

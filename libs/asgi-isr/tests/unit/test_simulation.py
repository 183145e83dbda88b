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
from simulation.seeds import keep, kept, tried
from simulation.starvation import CLIENTS, DURATION_S, RENDER_S, measure
from simulation.tally import REQUIRED_SEEDS_MIN, missing

FOLDER = Path(__file__).parents[2]
# After the kept seed, since a change of the engine changes what a seed does.
MORE_SEEDS = 150


def test_no_schedule_breaks_a_promise() -> None:
    """Random schedules do everything that can happen, and no invariant is violated."""
    report = search(first=0, seeds_max=REQUIRED_SEEDS_MIN, seconds_max=600, jobs=1)
    assert (report.violations, missing(report.tally)) == ([], [])
    assert report.schedules == REQUIRED_SEEDS_MIN
    assert report.steps >= 40 * report.schedules


@pytest.mark.parametrize("fault", FAULTS)
def test_each_guard_is_needed(fault: str) -> None:
    """Without one guard of the engine an invariant that speaks of it is violated."""
    found = find(fault, seeds_max=MORE_SEEDS)
    assert found is not None, f"not found; look for a seed that does: make simulate FAULT={fault}"
    assert found.invariant in FAULTS[fault].breaks


def test_kept_seeds_are_those_of_the_faults() -> None:
    """Every planted fault has a seed that finds it, and no other seed is kept."""
    assert kept().keys() == FAULTS.keys(), "find and keep the seeds: make simulate"


def test_another_seed_is_written_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that another seed found has that one kept, and it is said; the rest stays."""
    file = tmp_path / "found_by.json"
    file.write_text('{"fence": 1, "gone": 2, "stamp": 3}')
    monkeypatch.setattr("simulation.seeds.FILE", file)
    assert list(tried("fence", range(3))) == [1, 0, 2]
    assert keep({"fence": 7}, faults=("fence", "stamp", "never")) == ["fence: 1 -> 7"]
    assert kept() == {"fence": 7, "stamp": 3}


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
    seed = kept()["stamp"]
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

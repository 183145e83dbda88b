"""CPU time of real process trees."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from perfcheck.check.processor import snapshot, used_s
from perfcheck.exits import TargetError

# A parent that does nothing, and a child that uses some CPU and then waits for its input to end.
CHILD = """
import sys, time
while time.process_time() < 0.1:
    sum(range(10_000))
print('done', flush=True)
sys.stdin.read()
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"


@pytest.fixture
def tree() -> Iterator[subprocess.Popen[str]]:
    """Run a process whose child has used CPU."""
    with subprocess.Popen(  # noqa: S603 -- the programs above
        [sys.executable, "-c", PARENT, CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        yield process
        if process.stdin is not None:
            process.stdin.close()


def test_children_count(tree: subprocess.Popen[str]) -> None:
    """Granian's worker does the work: a tree's time is that of all its processes."""
    found = snapshot([tree.pid])
    assert len(found) == 2
    assert used_s({tree.pid: found[tree.pid]}, found) >= 0.05


def test_an_idle_tree_uses_nothing(tree: subprocess.Popen[str]) -> None:
    """What was used before the first snapshot does not count."""
    assert used_s(snapshot([tree.pid]), snapshot([tree.pid])) <= 0.02


def test_a_process_that_is_gone_is_named() -> None:
    """No figure is made up for a process that does not exist."""
    with pytest.raises(TargetError, match="the CPU time of process 4194305 cannot be read"):
        snapshot([2**22 + 1])


def test_a_process_that_ended_in_between_is_named() -> None:
    """A replaced worker takes its time with it: the sum would be too low."""
    with pytest.raises(TargetError, match="process 7 ended"):
        used_s({1: 1.0, 7: 5.0}, {1: 2.0, 8: 0.1})

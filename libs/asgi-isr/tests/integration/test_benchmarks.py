"""The benchmarks run and print what they promise; how fast anything is, no test says."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from asgi_isr.testing import eventually_sync

HOME = Path(__file__).parents[2]
TIMEOUT_S = 120


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks with parameters that only show that they work."""
    return subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-m", "benchmarks", "--quick", *arguments],
        cwd=HOME,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("hit", ["bare ASGI", "hit", "hit, gzip", "hit, 304", "bare RSGI"]),
        ("events", ["decode", "apply, tags new, pruning", "snapshot: copy", "events/s"]),
        ("memory", ["RSS", "traced", "stored", "held after hits", "own account"]),
        ("invalidate", ["pages held"]),
        ("largest", ["Cyrillic", "hard, a tag of", "everything", "no events"]),
        ("early_refresh", ["requests"]),
    ],
)
def test_each_subject_prints_its_tables(subject: str, expected: list[str]) -> None:
    """A table has its title, its rows and no error."""
    done = run(subject)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"== {subject}: " in done.stdout
    for name in expected:
        assert any(line.startswith(name) for line in done.stdout.splitlines())


def test_json_holds_the_same_rows() -> None:
    """One document: the machine, and every report with its rows of numbers."""
    done = run("invalidate", "--json")
    found = json.loads(done.stdout)
    assert found["cpus"] == os.cpu_count()
    rows = found["reports"][0]["rows"]
    assert [row["pages hit"] for row in rows] == [0, 1, 100]


def test_unknown_subject_is_named() -> None:
    """A slip is answered with what there is."""
    done = run("hits")
    assert done.returncode == 2
    assert "hits; there are hit, events" in done.stderr


def test_interrupted_benchmark_leaves_no_process() -> None:
    """Ctrl-C ends the servers that were started, too."""
    with subprocess.Popen(
        # Where the tests run in the background of a shell, Ctrl-C would be ignored.
        ["env", "--default-signal=INT", sys.executable, "-m", "benchmarks", "hit"],  # noqa: S607
        cwd=HOME,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        program.stdout.readline()
        main = psutil.Process(program.pid)
        children = eventually_sync(lambda: main.children(recursive=True), timeout_s=TIMEOUT_S)
        program.send_signal(signal.SIGINT)
        program.wait(TIMEOUT_S)
        assert program.returncode == 130
        gone, alive = psutil.wait_procs(children, timeout=10)
    assert (len(gone), alive) == (len(children), [])

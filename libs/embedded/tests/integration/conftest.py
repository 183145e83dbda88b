import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from asgi_isr.testing import eventually_sync
from perfcheck_embedded import Servers, new_shared_subdirectory, servers

_HERE = Path(__file__).parent
_PROGRAM = _HERE / "stack_program.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    """Give a module a NATS of its own."""
    with servers(postgres=False, valkey=False) as started:
        yield started


def _runs(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


class Stack:
    """`stack_program.py` running on a state directory, and what it printed."""

    def __init__(
        self,
        state: Path,
        parts: str,
        output: Path,
        *,
        fresh: bool = False,
        python: str = sys.executable,
        program: Path = _PROGRAM,
        **options: Any,
    ) -> None:
        self.state = state
        self._output = output
        with output.open("wb") as out:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [python, "-P", str(program), str(state), parts, *(["fresh"] if fresh else [])],
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )

    def text(self) -> str:
        """Return all it printed."""
        return self._output.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """Return the JSON objects it printed."""
        whole = self.text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def events(self, *kinds: str) -> list[tuple[str, str]]:
        """Return kind and name of the events of these kinds, in order."""
        found = [(line["event"], line["name"]) for line in self.lines() if "event" in line]
        return [(kind, name) for kind, name in found if kind in kinds]

    def wait_up(self) -> dict[str, Any]:
        """Return what it says once all is ready."""
        self.wait_for(lambda: any("up" in line for line in self.lines()), timeout_s=60)
        return next(line for line in self.lines() if "up" in line)

    def wait_for(self, condition: Callable[[], bool], *, timeout_s: float = 20) -> None:
        """Poll until `condition` holds; fail when the program ends first, or in `timeout_s`."""

        def holds() -> bool:
            found = condition()
            assert found or self.process.poll() is None, self.text()
            return found

        try:
            eventually_sync(holds, timeout_s=timeout_s)
        except AssertionError as error:
            error.add_note(self.text())
            raise

    def pids(self) -> dict[str, int]:
        """Return the present process ids by name, as other commands read them."""
        return dict(json.loads((self.state / "run.json").read_bytes())["processes"])

    def descendants(self) -> set[int]:
        """Everything below the supervisor, the watchdog and the servers' workers included."""
        own = psutil.Process(self.process.pid)
        return {child.pid for child in own.children(recursive=True)}

    def wait_end(self, timeout_s: float = 30) -> int:
        """Return the exit code once it has ended."""
        return self.process.wait(timeout_s)


def wait_gone(pids: set[int], timeout_s: float = 15) -> None:
    """Return once none of `pids` runs; fail, naming the rest, after `timeout_s`."""
    try:
        eventually_sync(lambda: not any(map(_runs, pids)), timeout_s=timeout_s)
    except AssertionError as error:
        for pid in filter(_runs, pids):
            error.add_note(f"still runs: {psutil.Process(pid).cmdline()}")
        raise


@pytest.fixture(name="wait_gone")
def wait_gone_fixture() -> Callable[..., None]:
    """Give tests the function of that name."""
    return wait_gone


@pytest.fixture
def processes_on() -> Callable[[Path], set[int]]:
    """Give a function that finds the servers whose arguments name a directory."""

    def find(path: Path) -> set[int]:
        found = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid != os.getpid() and str(path) in " ".join(process.cmdline()):
                    found.add(process.pid)
        return found

    return find


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Make a directory that PostgreSQL's account can pass through (pytest's own are closed)."""
    path = new_shared_subdirectory("test-")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start_stack(tmp_path: Path, open_path: Path) -> Iterator[Callable[..., Stack]]:
    """Start stacks; whatever a test leaves running is ended before its directory is removed."""
    del open_path  # only for that order
    stacks: list[Stack] = []

    def start(state: Path, parts: str, **options: Any) -> Stack:
        stacks.append(Stack(state, parts, tmp_path / f"output-{len(stacks)}", **options))
        return stacks[-1]

    yield start
    for stack in stacks:
        if stack.process.poll() is None:
            left = stack.descendants()
            os.kill(stack.process.pid, signal.SIGKILL)
            stack.process.wait(10)
            wait_gone(left, timeout_s=30)

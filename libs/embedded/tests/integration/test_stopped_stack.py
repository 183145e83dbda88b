import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from perfcheck_embedded import StateDir, StateLockedError


def test_one_interrupt_stops_in_reverse_order(
    start_stack: Callable[..., Any], open_path: Path, wait_gone: Callable[..., None]
) -> None:
    """Ctrl-C ends the app before the servers that its one-shot needed, and leaves nothing."""
    stack = start_stack(open_path / "state", "postgres,valkey,nats,migrate,app")
    stack.wait_up()
    everything = stack.descendants()

    os.kill(stack.process.pid, signal.SIGINT)

    assert stack.wait_end() == 0
    wait_gone(everything, timeout_s=0.1)
    stopped = [name for _, name in stack.events("stopped")]
    assert (stopped[0], set(stopped[1:])) == ("app", {"postgres", "valkey", "nats"})
    assert not (open_path / "state/run.json").exists()


def test_an_interrupt_while_starting_stops_what_was_started(
    start_stack: Callable[..., Any], open_path: Path
) -> None:
    """Ctrl-C before all is ready ends the start in order, with its own exit."""
    stack = start_stack(open_path / "state", "postgres,nats,app")
    stack.wait_for(lambda: ("starting", "postgres") in stack.events("starting"))

    os.kill(stack.process.pid, signal.SIGINT)

    assert stack.wait_end() in {0, 130}  # 0 when it had just become ready
    assert {"postgres", "nats"} <= {name for _, name in stack.events("stopped")}


def test_a_second_interrupt_kills(
    start_stack: Callable[..., Any], open_path: Path, wait_gone: Callable[..., None]
) -> None:
    """A part that does not stop holds the stop up for its grace only until Ctrl-C comes again."""
    stack = start_stack(open_path / "state", "nats,deaf")
    stack.wait_up()
    log = open_path / "state" / "logs" / "deaf.log"
    stack.wait_for(lambda: "deaf" in log.read_text())
    everything = stack.descendants()
    os.kill(stack.process.pid, signal.SIGINT)
    stack.wait_for(lambda: ("stopping", "deaf") in stack.events("stopping"))

    os.kill(stack.process.pid, signal.SIGINT)

    assert stack.wait_end(timeout_s=5) == 0
    wait_gone(everything, timeout_s=0.1)


def test_a_second_run_on_the_same_directory_is_refused(
    start_stack: Callable[..., Any], open_path: Path
) -> None:
    """The refusal names the pid of the run that has the directory, which goes on undisturbed."""
    first = start_stack(open_path / "state", "nats")
    first.wait_up()

    second = start_stack(open_path / "state", "nats")

    assert second.wait_end() == 4
    said = second.lines()[-1]
    assert said["kind"] == "StateLockedError"
    assert f"process {first.process.pid} already runs on {open_path / 'state'}" in said["error"]
    with pytest.raises(StateLockedError) as refused, StateDir(open_path / "state"):
        pass
    assert refused.value.pid == first.process.pid
    assert first.process.poll() is None


def test_other_commands_can_read_what_runs(
    start_stack: Callable[..., Any], open_path: Path
) -> None:
    """`run.json` names pid, addresses and processes, for this user only, while the stack runs."""
    state = StateDir(open_path / "state")
    assert state.read_run() is None
    stack = start_stack(open_path / "state", "nats,app")
    up = stack.wait_up()
    stack.wait_for(lambda: state.read_run() is not None)

    run = state.read_run()

    assert run is not None
    assert run["pid"] == stack.process.pid
    assert run["urls"] == up["urls"]
    assert run["processes"] == up["pids"]
    assert stat.S_IMODE((open_path / "state/run.json").stat().st_mode) == 0o600
    assert (open_path / "state/logs/nats.log").stat().st_size > 0
    os.kill(stack.process.pid, signal.SIGKILL)
    stack.wait_end()
    assert state.read_run() is None
    assert json.loads((open_path / "state/run.json").read_bytes())["pid"] == stack.process.pid

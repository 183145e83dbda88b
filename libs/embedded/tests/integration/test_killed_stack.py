import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

_ALL = "postgres,valkey,nats,migrate,app"


def test_a_killed_supervisor_leaves_no_process(
    start_stack: Callable[..., Any], open_path: Path, wait_gone: Callable[..., None]
) -> None:
    """After kill -9 of the supervisor alone every server, worker and the watchdog end."""
    stack = start_stack(open_path / "state", _ALL)
    stack.wait_up()
    everything = stack.descendants()
    assert len(everything) > 10  # PostgreSQL's own processes and the app's worker are among them

    os.kill(stack.process.pid, signal.SIGKILL)
    stack.wait_end()

    wait_gone(everything)


def test_a_supervisor_killed_while_starting_leaves_no_process(
    start_stack: Callable[..., Any],
    open_path: Path,
    wait_gone: Callable[..., None],
    processes_on: Callable[[Path], set[int]],
) -> None:
    """The watchdog knows of a process from the moment it exists, not from when it is ready."""
    stack = start_stack(open_path / "state", _ALL)
    stack.wait_for(lambda: ("starting", "postgres") in stack.events("starting"))
    everything = stack.descendants()

    os.kill(stack.process.pid, signal.SIGKILL)
    stack.wait_end()

    wait_gone(everything)
    wait_gone(processes_on(open_path))


def test_the_next_run_waits_for_the_killed_ones_remains(
    start_stack: Callable[..., Any], open_path: Path, wait_gone: Callable[..., None]
) -> None:
    """A run right after kill -9 starts on the same data, when the old servers have ended."""
    first = start_stack(open_path / "state", "postgres,nats")
    first.wait_up()
    everything = first.descendants()
    os.kill(first.process.pid, signal.SIGKILL)
    first.wait_end()

    second = start_stack(open_path / "state", "postgres,nats")
    second.wait_up()

    wait_gone(everything, timeout_s=0.1)


def test_each_killed_part_is_started_again(
    start_stack: Callable[..., Any], open_path: Path, wait_gone: Callable[..., None]
) -> None:
    """Kill -9 of a part ends its workers too; it runs again, the other parts stay as they are."""
    stack = start_stack(open_path / "state", _ALL)
    pids = stack.wait_up()["pids"]
    for name in ("postgres", "valkey", "nats", "app"):
        killed = pids[name]
        part = psutil.Process(killed)
        family = {part.pid, *(child.pid for child in part.children(recursive=True))}

        part.send_signal(signal.SIGKILL)
        ready = ("ready", name)
        stack.wait_for(lambda ready=ready: stack.events("ready").count(ready) == 2)
        stack.wait_for(lambda name=name, killed=killed: stack.pids().get(name, killed) != killed)

        wait_gone(family, timeout_s=0.1)
        assert stack.pids() == {**pids, name: stack.pids()[name]}
        assert ("restarting", name) in stack.events("restarting")
        pids = stack.pids()


def test_a_killed_watchdog_is_replaced(
    start_stack: Callable[..., Any], open_path: Path, wait_gone: Callable[..., None]
) -> None:
    """The new watchdog knows the running processes: it ends them when the supervisor is killed."""
    stack = start_stack(open_path / "state", "nats,app")
    os.kill(stack.wait_up()["watchdog"], signal.SIGKILL)
    stack.wait_for(lambda: ("restarting", "watchdog") in stack.events("restarting"))
    everything = stack.descendants()

    os.kill(stack.process.pid, signal.SIGKILL)
    stack.wait_end()

    wait_gone(everything)


def test_remains_of_supervisor_and_watchdog_are_ended_by_the_next_run(
    start_stack: Callable[..., Any], open_path: Path, wait_gone: Callable[..., None]
) -> None:
    """When the watchdog was killed with its supervisor, the next run on the directory cleans up."""
    first = start_stack(open_path / "state", "postgres,nats,app")
    watchdog = first.wait_up()["watchdog"]
    everything = first.descendants()
    os.kill(first.process.pid, signal.SIGSTOP)  # so that it cannot replace the watchdog
    os.kill(watchdog, signal.SIGKILL)
    os.kill(first.process.pid, signal.SIGKILL)
    first.wait_end()

    second = start_stack(open_path / "state", "postgres,nats,app")
    second.wait_up()

    wait_gone(everything, timeout_s=0.1)


def test_a_part_that_keeps_dying_is_given_up(
    start_stack: Callable[..., Any], open_path: Path, wait_gone: Callable[..., None]
) -> None:
    """After the bounded number of quick restarts everything stops, and the part is named."""
    stack = start_stack(open_path / "state", "nats,app")
    stack.wait_up()
    everything = stack.descendants()
    for kills in range(1, 5):
        os.kill(stack.pids()["app"], signal.SIGKILL)
        stack.wait_for(lambda kills=kills: stack.events("exited").count(("exited", "app")) == kills)
        if kills < 4:
            stack.wait_for(lambda kills=kills: len(stack.events("ready")) == 2 + kills)
            everything = stack.descendants()

    assert stack.wait_end() == 4
    wait_gone(everything, timeout_s=0.1)
    assert "app: gave up after 3 quick restarts: died (killed by SIGKILL)" in stack.text()

"""Stopping: in order on Ctrl-C, and without remains when the supervisor is killed."""

import os
import signal
from typing import Any

import psutil

DAY = "2026-10-30"


def family(pid: int) -> list[psutil.Process]:
    """Return a process and everything below it."""
    main = psutil.Process(pid)
    return [main, *main.children(recursive=True)]


def test_ctrl_c_stops_in_order_and_data_is_kept(own_stack: Any) -> None:
    """One SIGINT stops all with exit code 0; the next `up` on the directory finds the data."""
    assert own_stack.write(DAY, DKK=7.7777).status_code == 200
    processes = [
        process for pid in own_stack.run["processes"].values() for process in family(int(pid))
    ]
    assert own_stack.stop() == 0
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive
    again = type(own_stack)(own_stack.directory).start()
    try:
        assert again.rates(DAY)["DKK"] == 7.7777
    finally:
        assert again.stop(signal.SIGTERM) == 0


def test_killed_supervisor_leaves_no_process(own_stack: Any) -> None:
    """After kill -9 of the supervisor every server, service and worker ends by itself."""
    processes = family(own_stack.process.pid)
    assert len(processes) > 8
    os.kill(own_stack.process.pid, signal.SIGKILL)
    own_stack.process.wait()
    _, alive = psutil.wait_procs(processes, timeout=45)
    assert not alive, [process.cmdline() for process in alive]

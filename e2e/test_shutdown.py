"""Stopping: in order on Ctrl-C, and without remains when the supervisor is killed."""

import signal
from typing import Any

import psutil

DAY = "2026-10-30"


def family(pid: int) -> list[psutil.Process]:
    """Return a process and everything below it."""
    main = psutil.Process(pid)
    return [main, *main.children(recursive=True)]


def test_stops_in_order_and_without_its_supervisor(own_stack: Any) -> None:
    """SIGINT stops all with status 0, the next `up` finds the data, kill -9 leaves no process."""
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
        processes = family(again.process.pid)
        assert len(processes) > 8
    finally:
        again.http.close()
        again.process.send_signal(signal.SIGKILL)
    again.process.wait()
    _, alive = psutil.wait_procs(processes, timeout=45)
    assert not alive, [process.cmdline() for process in alive]

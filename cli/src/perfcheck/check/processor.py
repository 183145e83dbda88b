"""CPU time of whole process trees: the figure that a shared machine distorts least."""

from collections.abc import Iterable, Mapping

import psutil

from perfcheck.exits import TargetError


def snapshot(pids: Iterable[int]) -> dict[int, float]:
    """Return the CPU seconds (user and system) of each process and of all below it, by process id.

    Raises:
        TargetError: when one of the processes itself is gone or may not be looked at.

    """
    found: dict[int, float] = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            found[pid] = _own_s(process)
            children = process.children(recursive=True)
        except psutil.Error as error:
            raise TargetError(f"the CPU time of process {pid} cannot be read: {error}") from None
        for child in children:
            try:
                found[child.pid] = _own_s(child)
            except psutil.NoSuchProcess:
                continue  # it ended since it was listed
    return found


def used_s(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Return the CPU seconds used between two snapshots; a process that is new counts in full.

    Raises:
        TargetError: when a process ended in between: what it used is lost, and the sum too low.

    """
    if gone := before.keys() - after.keys():
        raise TargetError(f"process {min(gone)} ended while its CPU time was measured")
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def _own_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)

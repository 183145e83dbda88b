"""Ending process groups for good, recognising processes safely. Shared with the watchdog.

Imports nothing of ours: the watchdog runs as a small program of its own, by its file's path.
"""

import contextlib
import functools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

_SWEEP_POLL_S = 0.02


@functools.cache
def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def identity(pid: int) -> str | None:
    """Return what tells process `pid` from a later one with the same id, None when there is none.

    On Linux that is the boot and the clock tick of its start, because a start time in seconds
    (psutil's) moves whenever the system's clock is set; elsewhere the time recorded by the kernel.
    """
    if _boot() is None:
        try:
            return str(psutil.Process(pid).create_time())
        except psutil.Error:
            return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # Field 22; the second field, the name in parentheses, may hold spaces and parentheses itself.
    return f"{_boot()}:{stat.rpartition(b')')[2].split()[19].decode()}"


def exists(pid: int) -> bool:
    """Return whether a process `pid` runs, whoever it belongs to; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False


def is_running(pid: int, known: str | None) -> bool:
    """Return whether `pid` is still the process with the identity `known`, and no zombie."""
    return known is not None and identity(pid) == known and exists(pid)


def send(pid: int, number: int) -> None:
    """Send a signal to one process; one that is gone, or not ours any more, is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def stragglers(directory: str | None, program: str) -> Iterator[psutil.Process]:
    """Yield the processes called `program` whose current directory lies in `directory`."""
    if directory is None:
        return
    wanted = Path(directory)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            # The name is compared first: it is cheap, and a shell in that directory is not ours.
            if process.name() == program and Path(process.cwd()).is_relative_to(wanted):
                yield process


def group_is_ours(pgid: int, known: str | None) -> bool:
    """Return whether the group `pgid`, if there is one, is that of the leader known as `known`.

    A group keeps its number while any member lives, so the number is another's only when a process
    with that id runs that is not our leader.
    """
    now = identity(pgid)
    return now is None or now == known


def signal_group(pgid: int, known: str | None, number: int) -> None:
    """Send a signal to a process group, unless its number is another's by now."""
    if group_is_ours(pgid, known):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pgid, number)


def sweep(
    pgid: int, known: str | None, directory: str | None, program: str, *, timeout_s: float = 5.0
) -> bool:
    """Kill a group and its stragglers until none is left; False when some outlived `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:  # again and again: what is being killed may still have forked
        signal_group(pgid, known, signal.SIGKILL)
        left = [process for process in stragglers(directory, program) if exists(process.pid)]
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if not left and not (group_is_ours(pgid, known) and _group_alive(pgid)):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_SWEEP_POLL_S)


def _group_alive(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    for process in psutil.process_iter():  # only zombies may be left, which nobody can kill
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == pgid and exists(process.pid):
                return True
    return False

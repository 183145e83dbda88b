"""The program that ends everything when the supervisor is gone, however it went.

It reads one JSON object a line from a pipe whose write end only the supervisor holds (and, for the
moment of its start, each child, which reports itself before it becomes the real program, so that
no process can slip through). The kernel closes the pipe when the supervisor ends, by kill -9 too;
on that end-of-file the recorded processes are stopped, the last level first, with a grace and then
SIGKILL for the whole group. A pipe works on Linux and macOS alike.

    {"add": pid, "level": 2, "signal": 15, "grace_s": 5, "directory": null, "program": "python"}
    {"drop": pid}                    ended and swept by the supervisor itself
    {"remove": "/path"}              a throw-away directory to delete at the end
    {"release": true}                the supervisor deletes it itself, after an ordered stop

Run as `python -P .../watchdog/program.py PIPE_FD [LOCK_FD]`: it holds the state directory's lock
until all has ended, so that no new supervisor starts into the remains.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

# The watchdog runs by path and imports its neighbour by path: importing the package would load
# asyncio and more into a process that is there to wait.
if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent))
    import reaping  # type: ignore[import-not-found]  # found by the path set above
else:
    from perfcheck_embedded.watchdog import reaping

_END_POLL_S = 0.05
GRACE_MAX_S = 5.0


class Charges:
    """The processes and directories the watchdog answers for."""

    def __init__(self) -> None:
        self.processes: dict[int, dict[str, Any]] = {}
        self.directories: list[str] = []

    def note(self, line: bytes) -> None:
        """Take in one line of the pipe; a line that is no such object is ignored."""
        try:
            message = json.loads(line)
        except ValueError:
            return  # a child killed in the middle of its report never became the real program
        if "add" in message:
            pid = message["add"]
            known = self.processes.get(pid)
            # A child reports itself, then the supervisor reports it: the first look counts.
            seen = known["identity"] if known else message.get("identity") or reaping.identity(pid)
            self.processes[pid] = {**message, "identity": seen}
        elif "drop" in message:
            self.processes.pop(message["drop"], None)
        elif "remove" in message:
            self.directories.append(message["remove"])
        elif "release" in message:
            self.directories.clear()

    def end_all(self) -> None:
        """Stop all processes level by level, highest first, then delete the directories."""
        for level in sorted({each["level"] for each in self.processes.values()}, reverse=True):
            batch = {p: each for p, each in self.processes.items() if each["level"] == level}
            _end(batch)
        for directory in self.directories:
            for path in Path(directory).glob("*"):
                if path.is_symlink():  # data that had to lie elsewhere
                    shutil.rmtree(path.resolve(), ignore_errors=True)
            shutil.rmtree(directory, ignore_errors=True)


def _end(batch: dict[int, dict[str, Any]]) -> None:
    running = {pid for pid, each in batch.items() if reaping.is_running(pid, each["identity"])}
    for pid in running:
        reaping.send(pid, batch[pid]["signal"])
        reaping.send(pid, signal.SIGCONT)  # a paused process hears the signal only when it goes on
    since = time.monotonic()
    while running:
        passed = time.monotonic() - since
        running = {
            pid
            for pid in running
            if passed < min(batch[pid]["grace_s"], GRACE_MAX_S)
            and reaping.is_running(pid, batch[pid]["identity"])
        }
        time.sleep(_END_POLL_S)
    for pid, each in batch.items():
        reaping.sweep(pid, each["identity"], each["directory"], each["program"])


def main(pipe_fd: int) -> None:
    """Collect charges until end-of-file, then end them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its work is done, not before
    charges = Charges()
    rest = b""
    while chunk := os.read(pipe_fd, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            charges.note(line)
    charges.end_all()


if __name__ == "__main__":
    main(int(sys.argv[1]))

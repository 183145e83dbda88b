"""The supervisor's side of the watchdog: its pipe, its start, what it is told."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from perfcheck_embedded.watchdog import program as watchdog

_WATCHDOG_END_S_MAX = 10.0


class Guard:
    """Keeps the pipe to the watchdog for as long as this object is open.

    The read end is kept here too, so that a child reporting itself while a killed watchdog is
    being replaced neither fails nor is forgotten.
    """

    def __init__(self, *, log_path: Path, lock_fd: int | None) -> None:
        self._log_path = log_path
        self._lock_fd = lock_fd
        self._read_fd = self.write_fd = -1
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The watchdog's process id while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    async def start(self) -> None:
        """Start the watchdog, in a session of its own so that no terminal signal reaches it."""
        if self.write_fd < 0:
            self._read_fd, self.write_fd = os.pipe()
            os.set_blocking(self.write_fd, False)  # a frozen watchdog must not freeze all else
        passed = [self._read_fd] if self._lock_fd is None else [self._read_fd, self._lock_fd]
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                watchdog.__file__,
                str(self._read_fd),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=passed,  # the lock is held by having its descriptor open
                start_new_session=True,
                cwd="/",
            )

    async def ended(self) -> int:
        """Wait until the watchdog ends (it should not) and return its exit code."""
        return await self._process.wait() if self._process is not None else 0

    def tell(self, message: dict[str, Any]) -> None:
        """Send one line; short enough to be written in one piece.

        A line that does not fit, because the watchdog is frozen, is left out: what runs is also
        recorded in the state directory.
        """
        with contextlib.suppress(BlockingIOError):
            if self.write_fd >= 0:
                os.write(self.write_fd, json.dumps(message).encode() + b"\n")

    async def close(self) -> None:
        """Close the pipe and wait, bounded, until the watchdog has done its work and left."""
        for fd in (self.write_fd, self._read_fd):
            if fd >= 0:
                os.close(fd)
        self._read_fd = self.write_fd = -1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended(), _WATCHDOG_END_S_MAX)

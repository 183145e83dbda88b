"""One running process: how it is started, signalled, ended and swept."""

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

from perfcheck_embedded.processes.process import Process
from perfcheck_embedded.watchdog import reaping
from perfcheck_embedded.watchdog.guard import Guard

# The child reports its own pid to the watchdog (standard input is the pipe) before it becomes the
# real program: however early the supervisor is killed, no process is unknown to the watchdog.
_REPORT_THEN_RUN = r"""printf '%s%s%s\n' "$1" "$$" "$2" >&0; shift 2; exec "$@" </dev/null"""


class Child:
    """A started process, leader of its own session and process group."""

    def __init__(self, spec: Process, level: int, process: asyncio.subprocess.Process) -> None:
        self.spec = spec
        self.level = level
        self.pid = process.pid
        self.identity = reaping.identity(process.pid)
        self._process = process

    @classmethod
    async def start(cls, spec: Process, *, level: int, log_path: Path, guard: Guard) -> "Child":
        """Start `spec`, its output appended to `log_path`, recorded with the watchdog.

        Raises:
            OSError: the shell could not be started (as that user, in that directory).

        """
        before, after = json.dumps({"add": 0, **_charge(spec, level)}).split("0", 1)
        log_fd = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", _REPORT_THEN_RUN, "sh", before, after, *spec.argv,
                stdin=guard.write_fd,
                stdout=log_fd,  # a file, no pipe: a stopped supervisor must not block its children
                stderr=log_fd,
                env=dict(spec.env),
                cwd=spec.cwd or ("/" if spec.user else None),
                start_new_session=True,
                user=spec.user.uid if spec.user else None,
                group=spec.user.gid if spec.user else None,
                extra_groups=[] if spec.user else None,
            )  # fmt: skip
        finally:
            os.close(log_fd)
        child = cls(spec, level, process)
        guard.tell(child.charge())
        return child

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal) once it has ended, before that None."""
        return self._process.returncode

    def charge(self) -> dict[str, Any]:
        """Return what the watchdog needs to know to end this process."""
        return {"add": self.pid, "identity": self.identity, **_charge(self.spec, self.level)}

    def remains(self) -> dict[str, Any]:
        """Return what a later supervisor needs to know to sweep this process."""
        charge = self.charge()
        kept = {key: charge[key] for key in ("identity", "directory", "program")}
        return {"name": self.spec.name, "pid": self.pid, **kept}

    async def ended(self) -> int:
        """Wait until the process itself has ended and return its exit code."""
        return await self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal to the process itself; nothing when it has ended."""
        if self.exit_code is None:
            reaping.send(self.pid, number)

    def signal_all(self, number: int) -> None:
        """Send a signal to its whole process group and its stragglers."""
        reaping.signal_group(self.pid, self.identity, number)
        charge = self.charge()
        for process in reaping.stragglers(charge["directory"], charge["program"]):
            reaping.send(process.pid, number)

    async def end(self) -> bool:
        """Stop the process, bounded by its grace; return whether it left by itself."""
        self.signal(self.spec.stop_signal)
        self.signal(signal.SIGCONT)  # a paused process hears the stop only when it goes on
        in_time = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended(), self.spec.stop_grace_s)
            in_time = True
        await self.sweep()
        await self.ended()
        return in_time

    async def sweep(self) -> None:
        """Kill what is left of its group and its stragglers, and wait until they are gone."""
        charge = self.charge()
        await asyncio.to_thread(
            reaping.sweep, self.pid, self.identity, charge["directory"], charge["program"]
        )


def describe_exit(code: int) -> str:
    """Return an exit code as a person reads it: `exit code 3`, `killed by SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _charge(spec: Process, level: int) -> dict[str, Any]:
    stragglers = spec.stragglers
    return {
        "level": level,
        "signal": int(spec.stop_signal),
        "grace_s": spec.stop_grace_s,
        "directory": str(stragglers.directory) if stragglers else None,
        "program": stragglers.program if stragglers else "",
    }

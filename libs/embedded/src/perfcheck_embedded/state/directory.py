"""The state directory: one supervisor at a time, kept data, what runs now.

Layout: `lock`, `run.json` (0600; for other commands), `processes.json` (to find remains), `logs/`,
`secrets/` (0700), and one directory of data for each server.
"""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from perfcheck_embedded.errors import StateError, StateLockedError
from perfcheck_embedded.watchdog import reaping

SECRETS = "secrets"
_OURS = (
    "postgres",
    "nats",
    "valkey",
    "logs",
    "run.json",
    "processes.json",
    "postgres.password",
    SECRETS,
)
_REMAINS_TIMEOUT_S = 30.0
_LOCK_POLL_S = 0.1
_TAIL_BYTES = 16 * 1024


class StateDir:
    """A directory that one supervisor owns while it is entered as a context manager.

    `fresh` drops all kept data on entering. `throw_away` deletes the directory on leaving.
    """

    def __init__(self, path: Path, *, fresh: bool = False, throw_away: bool = False) -> None:
        self.path = path.absolute()
        self.fresh = fresh
        self.throw_away = throw_away
        self.lock_fd: int | None = None

    def __enter__(self) -> Self:
        """Lock the directory, creating it when missing.

        Raises:
            StateLockedError: another supervisor has it; its pid is named.
            StateError: it cannot be created or written; the path and the reason are named.

        """
        try:
            if not self.path.exists():
                self.path.mkdir(parents=True, mode=0o700)
                # PostgreSQL's account, when the supervisor is root, passes through; all within
                # is closed by its own mode.
                self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self._lock()
            self._end_remains()
            if self.fresh:
                self._drop()
            (self.path / "logs").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            self._unlock()
            raise StateError(f"cannot use the state directory {self.path}: {error}") from error
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Forget what ran and give the lock back; delete all when it was throw-away."""
        self.write_run(None)
        self.write_processes([])
        if self.throw_away:
            self._drop()
            shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def write_run(self, facts: Mapping[str, Any] | None) -> None:
        """Replace `run.json` (0600) in one step; None removes it."""
        self._write("run.json", facts)

    def read_run(self) -> dict[str, Any] | None:
        """Return what runs on this directory, None when nothing does.

        Needs no lock. What a supervisor killed with -9 left behind is not returned.
        """
        try:
            facts = json.loads((self.path / "run.json").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StateError(f"cannot read {self.path / 'run.json'}: {error}") from error
        if not isinstance(facts, dict) or not reaping.exists(int(facts.get("pid", 0))):
            return None
        return facts

    def write_processes(self, entries: list[dict[str, Any]]) -> None:
        """Record the running processes for a successor, in case watchdog and supervisor die."""
        self._write("processes.json", entries or None)

    def log_path(self, name: str) -> Path:
        """Return the path of the log of process `name`."""
        return self.path / "logs" / f"{name}.log"

    def log_tail(self, name: str, *, lines: int = 20) -> str:
        """Return the last lines of a process's log, bounded; empty when there is none."""
        try:
            with self.log_path(name).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _write(self, name: str, content: object | None) -> None:
        target = self.path / name
        if content is None:
            target.unlink(missing_ok=True)
            return
        fd, new = tempfile.mkstemp(prefix=f"{name}.", dir=self.path)  # 0600
        with os.fdopen(fd, "w") as file:
            json.dump(content, file, indent=1)
        Path(new).replace(target)

    def _lock(self) -> None:
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _REMAINS_TIMEOUT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                owner = os.pread(fd, 32, 0).decode(errors="replace").strip()
                pid = int(owner) if owner.isdigit() else None
                # Its supervisor is dead: the lock is its watchdog's, which is ending the rest.
                ending = pid is not None and not reaping.exists(pid)
                if not ending or time.monotonic() > deadline:
                    os.close(fd)
                    raise StateLockedError(
                        f"process {pid or '(unknown)'} already runs on {self.path}; stop it first "
                        "(Ctrl-C there, or `kill` that process), or choose another state directory",
                        pid=pid,
                    ) from None
                time.sleep(_LOCK_POLL_S)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self.lock_fd = fd

    def _unlock(self) -> None:
        if self.lock_fd is not None:
            os.close(self.lock_fd)
            self.lock_fd = None

    def _end_remains(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for each in json.loads((self.path / "processes.json").read_bytes()):
                reaping.sweep(each["pid"], each["identity"], each["directory"], each["program"])

    def _drop(self) -> None:
        for name in _OURS:
            path = self.path / name
            if path.is_symlink():  # data that had to lie elsewhere, see `postgres`
                shutil.rmtree(path.resolve(), ignore_errors=True)
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

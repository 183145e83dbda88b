"""What a supervised process is, and in which order a set of them starts and stops (pure)."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from perfcheck_embedded.accounts import Account

EventKind = Literal[
    "starting",
    "ready",
    "finished",
    "exited",
    "restarting",
    "failed",
    "stopping",
    "stopped",
    "warning",
]

Probe = Callable[[], Awaitable[bool]]
"""Asked again and again while a process starts: True when it is ready.

An exception counts as "not yet"; its text is shown when the start times out.
"""


@dataclass(frozen=True)
class Stragglers:
    """Processes that leave their parent's process group and must still end with it.

    PostgreSQL's backends each open a session of their own, so that ending the postmaster's group
    does not reach them. They are found as processes called `program` whose current directory lies
    in `directory`.
    """

    program: str
    directory: Path


@dataclass(frozen=True, kw_only=True)
class Process:
    """One part of the system, as the supervisor runs it.

    `env` is the child's whole environment, not an addition. `needs` names processes that must be
    ready (one-shots: finished) before this one starts. `ready` None means ready once started.
    `oneshot` processes run once to exit code 0. With `restart` a process that dies is started
    again with the same arguments, as often as `restarts.RestartBudget` allows; without, its death
    is fatal. `port` is where it listens on 127.0.0.1: it is ready only once it does so itself,
    whoever answers there. Times are in seconds. `stop_signal` goes to the process itself, which
    ends its own children; what is left of its process group after `stop_grace_s` is killed.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    needs: Sequence[str] = ()
    ready: Probe | None = None
    port: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 10.0
    start_timeout_s: float = 30.0
    oneshot: bool = False
    restart: bool = False
    user: Account | None = None
    cwd: Path | None = None
    stragglers: Stragglers | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something the supervisor did or saw; `detail` is one human-readable line, maybe empty."""

    kind: EventKind
    name: str
    detail: str = ""
    pid: int | None = None
    duration_s: float | None = None

    def text(self) -> str:
        """Return one line for people: `api: exited: killed by SIGKILL`."""
        return ": ".join(part for part in (self.name, self.kind, self.detail) if part)


OnEvent = Callable[[Event], None]


def start_levels(processes: Sequence[Process]) -> list[list[str]]:
    """Return the names in levels: each process stands above everything it needs, transitively.

    Starting runs the levels upwards, stopping downwards, so one-shots that are long gone still
    keep what is above them apart from what is below.

    Raises:
        ValueError: a name is used twice or unknown, or the needs form a circle.

    """
    by_name = {process.name: process for process in processes}
    if len(by_name) != len(processes):
        raise ValueError("two processes have the same name")
    level: dict[str, int] = {}

    def settle(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            raise ValueError(f"processes need each other in a circle: {' -> '.join((*path, name))}")
        if name not in by_name:
            raise ValueError(f"{path[-1]} needs {name}, which is not among the processes")
        if name not in level:
            needs = by_name[name].needs
            level[name] = 1 + max((settle(need, (*path, name)) for need in needs), default=-1)
        return level[name]

    for process in processes:
        settle(process.name, ())
    return [
        [process.name for process in processes if level[process.name] == height]
        for height in range(max(level.values(), default=-1) + 1)
    ]

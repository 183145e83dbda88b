"""Starts processes in order of readiness, keeps them running, stops them in the reverse order."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from perfcheck_embedded.environment import wall_clock
from perfcheck_embedded.errors import ProcessFailedError, StopRequestedError
from perfcheck_embedded.processes.child import Child, describe_exit
from perfcheck_embedded.processes.keeper import Keeper
from perfcheck_embedded.processes.process import Event, OnEvent, Process, start_levels
from perfcheck_embedded.processes.restarts import RestartBudget, RestartPolicy
from perfcheck_embedded.state.directory import StateDir
from perfcheck_embedded.state.logs import LOG_BYTES_MAX, cap_log, new_log
from perfcheck_embedded.watchdog.guard import Guard

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOG_CHECK_S = 5.0
_WATCHDOG = "watchdog"


class Supervisor:
    """Runs `processes` on an entered `StateDir`; enter and leave it in one task.

    `on_event` is called for everything that happens, in this event loop, and must not block.
    `facts`, when given, are written to `run.json` with pid, start time and the processes' pids once
    all are ready, and again whenever one was restarted. `stop_signals` (`STOP_SIGNALS` for a
    command) ask for an ordered stop; the second one kills everything at once.
    """

    def __init__(
        self,
        state: StateDir,
        processes: Sequence[Process],
        *,
        on_event: OnEvent | None = None,
        facts: Mapping[str, Any] | None = None,
        stop_signals: Sequence[signal.Signals] = (),
        policy: RestartPolicy | None = None,
    ) -> None:
        self._state = state
        self._policy = policy or RestartPolicy()
        self._on_event = on_event or (lambda _: None)
        self._facts = facts
        self._stop_signals = stop_signals
        self._started = wall_clock()
        self._settled = asyncio.Event()  # all were ready once, or that will not happen
        self._over = asyncio.Event()
        self._failure: ProcessFailedError | None = None
        self._stops_asked = 0
        self._running = False
        self._tasks = asyncio.TaskGroup()
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._guard = Guard(log_path=state.log_path(_WATCHDOG), lock_fd=state.lock_fd)
        self._levels = start_levels(processes)
        height = {name: level for level, names in enumerate(self._levels) for name in names}
        self._keepers = {
            spec.name: Keeper(
                spec,
                level=height[spec.name],
                policy=self._policy,
                state=state,
                guard=self._guard,
                on_event=self._on_event,
                on_change=self._record,
            )
            for spec in processes
        }

    async def __aenter__(self) -> Self:
        """Start everything and return when all is ready.

        Raises:
            ProcessFailedError: one did not start; everything is stopped again.
            StopRequestedError: a stop signal came meanwhile; everything is stopped again.

        """
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything."""
        await self.stop()

    async def start(self) -> None:
        """Start everything; see `__aenter__`. Whoever calls this calls `stop` in the same task."""
        loop = asyncio.get_running_loop()
        for number in self._stop_signals:
            loop.add_signal_handler(number, self.request_stop)
        await self._tasks.__aenter__()
        self._running = True
        try:
            await self._start_all()
        except BaseException:
            await self.stop()
            raise
        self._record()

    async def wait(self) -> None:
        """Wait until a stop was requested.

        Raises:
            ProcessFailedError: a process died and is not (or no longer) restarted.

        """
        await self._over.wait()
        self.check()

    def check(self) -> None:
        """Do nothing while all is well.

        Raises:
            ProcessFailedError: as `wait` does.

        """
        if self._failure is not None:
            raise self._failure

    @property
    def stop_requested(self) -> bool:
        """Whether a stop was asked for."""
        return self._stops_asked > 0

    def request_stop(self) -> None:
        """Let `wait` return; asked a second time, kill every process at once."""
        self._stops_asked += 1
        self._over.set()
        self._settled.set()
        if self._stops_asked > 1:
            for child in self._children().values():
                child.signal_all(signal.SIGKILL)

    async def stop(self) -> None:
        """Stop every process, those that need others first; bounded by their graces."""
        if not self._running:
            return
        self._running = False
        for job in self._jobs.values():
            job.cancel()
        await self._tasks.__aexit__(None, None, None)
        for names in reversed(self._levels):
            async with asyncio.TaskGroup() as level:
                for name in names:
                    level.create_task(self._end(name))
        self._guard.tell({"release": True})
        await self._guard.close()
        loop = asyncio.get_running_loop()
        for number in self._stop_signals:
            loop.remove_signal_handler(number)

    def pids(self) -> dict[str, int]:
        """Return the process ids of what runs, by name."""
        return {name: child.pid for name, child in self._children().items()}

    @property
    def watchdog_pid(self) -> int | None:
        """The watchdog's process id, None in the moment between two."""
        return self._guard.pid

    async def stop_one(self, name: str) -> None:
        """Stop one process in its own way and leave it stopped; what needs it stays."""
        await self._keeper(name).end()

    async def kill_one(self, name: str) -> None:
        """Kill one process with SIGKILL and leave it dead, whatever its `restart` says."""
        await self._keeper(name).kill()

    async def restart_one(self, name: str) -> None:
        """Start one process again with the same arguments (stopping it first); wait until ready.

        Raises:
            ProcessFailedError: it did not start; the supervisor has then failed as a whole.

        """
        keeper = self._keeper(name)
        await keeper.end()
        await asyncio.wait({self._jobs[name]})
        self._launch(name, [])
        waits = [self._tasks.create_task(each.wait()) for each in (keeper.ready, self._over)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self.check()

    def signal_one(self, name: str, number: signal.Signals) -> None:
        """Send a signal to every process of one part: SIGSTOP freezes it, SIGCONT thaws it."""
        child = self._keeper(name).child
        if child is not None:
            child.signal_all(number)

    async def _start_all(self) -> None:
        await self._start_guard()
        self._jobs["guard"] = self._tasks.create_task(self._keep_guard())
        self._jobs["logs"] = self._tasks.create_task(self._cap_logs())
        for name, keeper in self._keepers.items():
            new_log(self._state.log_path(name))
            self._launch(name, [self._keepers[need].ready for need in keeper.spec.needs])
        self._jobs["settle"] = self._tasks.create_task(self._settle())
        await self._settled.wait()
        self.check()
        if self._over.is_set():
            raise StopRequestedError("stopped while starting")

    def _keeper(self, name: str) -> Keeper:
        if name not in self._keepers:
            raise ValueError(f"no process {name!r}; there are {', '.join(self._keepers)}")
        return self._keepers[name]

    def _children(self) -> dict[str, Child]:
        found = {name: keeper.child for name, keeper in self._keepers.items()}
        return {name: child for name, child in found.items() if child is not None}

    def _launch(self, name: str, needs: Sequence[asyncio.Event]) -> None:
        self._jobs[name] = self._tasks.create_task(self._keep(name, needs))

    async def _keep(self, name: str, needs: Sequence[asyncio.Event]) -> None:
        try:
            await self._keepers[name].run(needs)
        except ProcessFailedError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must stop the rest in order too
            self._fail(ProcessFailedError(name, f"the supervisor failed: {error!r}"))

    async def _settle(self) -> None:
        for keeper in self._keepers.values():
            await keeper.ready.wait()
        self._settled.set()

    async def _end(self, name: str) -> None:
        try:
            await self._keepers[name].end()
        except OSError as error:  # the others must be stopped all the same
            self._on_event(Event(kind="warning", name=name, detail=f"cannot be stopped: {error}"))

    def _fail(self, error: ProcessFailedError) -> None:
        self._on_event(Event(kind="failed", name=error.name, detail=error.reason))
        self._failure = self._failure or error
        self._over.set()
        self._settled.set()

    async def _keep_guard(self) -> None:
        """Replace the watchdog when it dies; without one nothing may go on."""
        loop = asyncio.get_running_loop()
        budget = RestartBudget(self._policy)
        while True:
            budget.became_ready(loop.time())
            reason = describe_exit(await self._guard.ended())
            delay_s = budget.died(loop.time())
            if delay_s is None:
                tail = self._state.log_tail(_WATCHDOG)
                return self._fail(ProcessFailedError(_WATCHDOG, f"died again ({reason})", tail))
            try:
                await self._start_guard()
            except OSError as error:
                return self._fail(ProcessFailedError(_WATCHDOG, f"cannot be started: {error}"))
            self._on_event(
                Event(kind="restarting", name=_WATCHDOG, detail=reason, pid=self._guard.pid)
            )
            await asyncio.sleep(delay_s)

    async def _start_guard(self) -> None:
        await self._guard.start()
        if self._state.throw_away:
            self._guard.tell({"remove": str(self._state.path)})
        for child in self._children().values():
            self._guard.tell(child.charge())

    async def _cap_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_S)
            for name in self._keepers:
                cap_log(self._state.log_path(name), bytes_max=LOG_BYTES_MAX)

    def _record(self) -> None:
        """Write down what runs: for a successor always, for other commands once all is ready."""
        what = {"pid": os.getpid(), "started": self._started, "processes": self.pids()}
        try:
            self._state.write_processes([child.remains() for child in self._children().values()])
            if self._facts is not None and self._settled.is_set() and self._running:
                self._state.write_run({**what, **self._facts})
        except OSError as error:  # no reason to stop what runs
            self._on_event(Event(kind="warning", name="state", detail=str(error)))

"""Keeps one process running: start, readiness, death, restart with backoff, end."""

import asyncio
import signal
from collections.abc import Callable, Sequence

from perfcheck_embedded.errors import PortTakenError, ProcessFailedError
from perfcheck_embedded.processes.child import Child, describe_exit
from perfcheck_embedded.processes.listening import listens
from perfcheck_embedded.processes.process import Event, EventKind, OnEvent, Process
from perfcheck_embedded.processes.restarts import RestartBudget, RestartPolicy
from perfcheck_embedded.state.directory import StateDir
from perfcheck_embedded.watchdog.guard import Guard

_PROBE_PAUSE_FIRST_S = 0.01
_PROBE_PAUSE_MAX_S = 0.25
_PORT_TAKEN = "address already in use"  # what EADDRINUSE is called, in any case of letters


class Keeper:
    """One process of a supervisor, over all its restarts.

    `ready` is set while it answers (a one-shot: once it has finished). `on_change` is called when
    a child came or went. Neither starts anything by itself: `run` does.
    """

    def __init__(
        self,
        spec: Process,
        *,
        level: int,
        policy: RestartPolicy,
        state: StateDir,
        guard: Guard,
        on_event: OnEvent,
        on_change: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.ready = asyncio.Event()
        self.child: Child | None = None
        self._level = level
        self._policy = policy
        self._budget = RestartBudget(policy)
        self._state = state
        self._guard = guard
        self._on_event = on_event
        self._on_change = on_change
        self._ready_once = False
        self._wanted = True
        self._gone = asyncio.Event()

    async def run(self, needs: Sequence[asyncio.Event]) -> None:
        """Start the process once `needs` are set, and keep it until it is not wanted any more.

        Raises:
            ProcessFailedError: it did not start, or died and is not (any longer) restarted.

        """
        for need in needs:
            await need.wait()
        self._wanted = True
        died_before = False
        while self._wanted:
            try:
                code = await self._live()
            except ProcessFailedError as error:
                await self._clear()
                if not self._wanted:
                    return
                if not died_before:
                    raise
                failure = error
            else:
                await self._clear()
                if self.spec.oneshot or not self._wanted:
                    return
                failure = self._failed(f"died ({describe_exit(code)})")
                self._tell("exited", describe_exit(code))
            if not self.spec.restart:
                raise failure
            died_before = True
            await self._pause_before_restart(failure)

    async def end(self) -> None:
        """Stop the process in its own way, bounded by its grace, and sweep what is left of it."""
        self._wanted = False
        child = self.child
        if child is None:
            return
        self._tell("stopping")
        since = self._now()
        in_time = await child.end()
        self._forget(child)
        detail = "" if in_time else f"killed after {self.spec.stop_grace_s:g} s of grace"
        self._tell("stopped", detail, duration_s=self._now() - since)

    async def kill(self) -> None:
        """Kill the process (SIGKILL) for good, as a crash would; return when it is gone."""
        self._wanted = False
        if self.child is not None:
            self.child.signal(signal.SIGKILL)
            await self._gone.wait()

    async def _live(self) -> int:
        """Run one child from start to end; return its exit code."""
        since = self._now()
        self._tell("starting")
        try:
            self.child = child = await Child.start(
                self.spec,
                level=self._level,
                log_path=self._state.log_path(self.spec.name),
                guard=self._guard,
            )
        except OSError as error:
            raise self._failed(f"cannot be started: {error}") from error
        self._gone.clear()
        self._on_change()
        if not self._wanted:  # ended or killed in the moment of starting
            await child.end()
        if self.spec.oneshot:
            await self._finish(child)
        else:
            await self._answer(child)
        self._tell(
            "finished" if self.spec.oneshot else "ready",
            pid=child.pid,
            duration_s=self._now() - since,
        )
        self._budget.became_ready(self._now())
        self._ready_once = True
        self.ready.set()
        self._on_change()
        return await child.ended()

    async def _finish(self, child: Child) -> None:
        try:
            async with asyncio.timeout(self.spec.start_timeout_s):
                code = await child.ended()
        except TimeoutError:
            raise self._failed(f"did not finish within {self.spec.start_timeout_s:g} s") from None
        if code:
            raise self._failed(f"failed ({describe_exit(code)})")

    async def _answer(self, child: Child) -> None:
        """Ask the probe until it says ready."""
        pause_s, last = _PROBE_PAUSE_FIRST_S, "no answer"
        try:
            async with asyncio.timeout(self.spec.start_timeout_s):
                while True:
                    ready = self.spec.ready is None
                    if self.spec.ready is not None:
                        try:
                            ready = await self.spec.ready()
                        except (OSError, EOFError, ValueError) as error:
                            last = str(error) or type(error).__name__
                    # Looked at after the probe: another program on its port may have answered.
                    if child.exit_code is not None:
                        reason = describe_exit(child.exit_code)
                        raise self._failed(f"exited before it was ready ({reason})")
                    if ready and await self._listens(child):
                        return
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 1.5, _PROBE_PAUSE_MAX_S)
        except TimeoutError:
            limit = f"{self.spec.start_timeout_s:g} s"
            raise self._failed(f"was not ready within {limit} (last answer: {last})") from None

    async def _listens(self, child: Child) -> bool:
        """Return whether it was the child that answered, not who has taken its port."""
        if self.spec.port is None:
            return True
        return await asyncio.to_thread(listens, child.pid, self.spec.port)

    async def _clear(self) -> None:
        """Leave nothing of the present child: its workers may outlive it."""
        if not self.spec.oneshot:
            self.ready.clear()
        if self.child is not None:
            child = self.child
            await child.sweep()
            await child.ended()
            self._forget(child)

    def _forget(self, child: Child) -> None:
        if self.child is child:
            self.child = None
            self._guard.tell({"drop": child.pid})
            self._on_change()
        self._gone.set()

    async def _pause_before_restart(self, failure: ProcessFailedError) -> None:
        delay_s = self._budget.died(self._now())
        if delay_s is None:
            times = self._policy.quick_restarts_max
            raise self._failed(f"gave up after {times} quick restarts: {failure.reason}")
        self._tell("restarting", f"{failure.reason}; next start in {delay_s:g} s")
        await asyncio.sleep(delay_s)

    def _failed(self, reason: str) -> ProcessFailedError:
        name = self.spec.name
        tail = self._state.log_tail(name)
        taken = self.spec.port is not None and not self._ready_once and _PORT_TAKEN in tail.lower()
        return (PortTakenError if taken else ProcessFailedError)(name, reason, tail)

    def _tell(
        self,
        kind: EventKind,
        detail: str = "",
        *,
        pid: int | None = None,
        duration_s: float | None = None,
    ) -> None:
        self._on_event(
            Event(kind=kind, name=self.spec.name, detail=detail, pid=pid, duration_s=duration_s)
        )

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

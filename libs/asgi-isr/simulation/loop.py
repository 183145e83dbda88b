"""An event loop without sockets and without waiting: one seed decides the order of everything."""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from itertools import count
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
START_S = 1_000.0


async def _coroutine(future: Generator[Any, None, T] | Awaitable[T]) -> T:
    if isinstance(future, Generator):
        raise TypeError("coroutines are made by async def")
    return await future


class StuckError(Exception):
    """Every task waits and no timer is set, or the schedule made more calls than it may."""


class Call(asyncio.TimerHandle):
    """One callback to run, now or at `due` seconds."""

    __slots__ = ("arguments", "callback", "context", "due", "live")

    def __init__(
        self,
        due: float,
        callback: Callable[..., object],
        arguments: tuple[Any, ...],
        context: Context | None,
    ) -> None:
        # The base has nothing that is needed here, and costs more than the rest of the loop.
        self.due = due
        self.callback = callback
        self.arguments = arguments
        self.context = copy_context() if context is None else context
        self.live = True

    def when(self) -> float:
        """Return the virtual second at which it is due."""
        return self.due

    def cancel(self) -> None:
        """Do not run it."""
        self.live = False

    def cancelled(self) -> bool:
        """Say whether it was cancelled."""
        return not self.live


class NumberedTask(asyncio.Task):  # type: ignore[type-arg]  # of whatever it gives
    """A task with a hash of its own: sets of tasks have one order, wherever they lie in memory."""

    def __init__(self, coro: Any, *, number: int, **named: Any) -> None:
        self.number = number
        super().__init__(coro, **named)

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs what is ready; when nothing is, time jumps to the next timer.

    With `order` each next callback is drawn from all that are ready (asyncio promises to run them
    in the order in which they became ready; correctness must not hang on it). `calls_max` bounds
    one schedule; beyond it `StuckError` is raised.
    """

    def __init__(self, order: random.Random | None = None, *, calls_max: int = 300_000) -> None:
        super().__init__()
        self._order = order
        self._calls_max = calls_max
        self._now = START_S
        self._runnable: deque[Call] = deque()
        self._timers: list[tuple[float, int, Call]] = []
        self._timer_ids = count()
        self.calls = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self.complaints: list[str] = []  # exceptions that nobody took

    def time(self) -> float:
        """Return the virtual seconds."""
        return self._now

    def get_debug(self) -> bool:
        """Say no: it is asked for each task."""
        return False

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run `callback` before time goes on."""
        call = Call(self._now, callback, args, context)
        self._runnable.append(call)
        return call

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        """Run `callback` at `when` virtual seconds."""
        call = Call(when, callback, args, context)
        heapq.heappush(self._timers, (when, next(self._timer_ids), call))
        return call

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        """Run `callback` after `delay` virtual seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_task(
        self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], **named: Any
    ) -> asyncio.Task[T]:
        """Start a task, and remember it: none may be left at the end."""
        task = NumberedTask(coro, loop=self, number=len(self.tasks), **named)
        self.tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note an error that nobody took."""
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """Run to the end of `future`; raises `StuckError` when that cannot be reached."""
        asyncio._set_running_loop(self)  # noqa: SLF001  how a loop makes itself known
        try:
            task = self.create_task(_coroutine(future))
            while not task.done():
                self._turn()
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001
        return task.result()

    def _turn(self) -> None:
        runnable = self._runnable
        if not runnable:
            self._pass_time()
        if self._order is not None and len(runnable) > 1:
            # The last takes the place of the one that is drawn, which costs the same everywhere.
            at = int(self._order.random() * len(runnable))
            call, runnable[at] = runnable[at], runnable[-1]
            runnable.pop()
        else:
            call = runnable.popleft()
        if not call.live:
            return
        self.calls += 1
        if self.calls > self._calls_max:
            raise StuckError(f"more than {self._calls_max} calls in one schedule")
        call.context.run(call.callback, *call.arguments)

    def _pass_time(self) -> None:
        timers = self._timers
        while timers and not timers[0][2].live:
            heapq.heappop(timers)
        if not timers:
            waiting = [task.get_name() for task in self.tasks if not task.done()]
            raise StuckError(f"every task waits and no timer is set: {waiting}")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            self._runnable.append(heapq.heappop(timers)[2])

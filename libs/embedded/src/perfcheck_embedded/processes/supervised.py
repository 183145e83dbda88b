"""Starting a set of processes again, on new ports, when another program has taken one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from perfcheck_embedded.errors import PortTakenError
from perfcheck_embedded.processes.process import Event, OnEvent
from perfcheck_embedded.processes.supervisor import Supervisor

_STARTS_MAX = 5  # one in some thousands meets a taken port


@asynccontextmanager
async def supervised(
    make: Callable[[], Supervisor], *, on_event: OnEvent | None = None
) -> AsyncIterator[Supervisor]:
    """Start the supervisor that `make` returns, and stop it when the block is left.

    When a process finds its port taken, everything is stopped and `make` is called again: it
    chooses new ports, so that whoever needs an address gets the new one. Enter and leave in one
    task.

    Raises:
        ProcessFailedError: one did not start, or found no free port in a bounded number of starts.
        StopRequestedError: a stop signal came meanwhile.

    """
    supervisor = await _started(make, on_event or (lambda _: None))
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def _started(make: Callable[[], Supervisor], on_event: OnEvent) -> Supervisor:
    for left in reversed(range(_STARTS_MAX)):
        supervisor = make()
        try:
            await supervisor.start()
        except PortTakenError as error:
            if not left or supervisor.stop_requested:
                raise
            detail = "another program took its port; starting everything on new ports"
            on_event(Event(kind="restarting", name=error.name, detail=detail))
        else:
            return supervisor
    raise AssertionError("the last start returns or raises")

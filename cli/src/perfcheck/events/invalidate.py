"""`perfcheck invalidate`: publish an invalidation and, if asked, wait until all have applied it."""

from collections.abc import Sequence

from asgi_isr.errors import InvalidEventError
from asgi_isr.events import Invalidation, check
from perfcheck_contracts import Applied, InvalidationWrite
from perfcheck_contracts.limits import WAIT_S_MAX

from perfcheck import environment
from perfcheck.api import API_CALL_S_MAX, Api
from perfcheck.console import Console
from perfcheck.exits import TargetError, WrongUsageError
from perfcheck.http import Http
from perfcheck.stack.state import Service


def write_of(names: Sequence[str], *, mode: str, reason: str) -> InvalidationWrite:
    """Make the request: a name with a leading `/` is a path, any other a tag (`*` is everything).

    Raises:
        WrongUsageError: when the event must not be published, with the reason.

    """
    tags = [name for name in names if not name.startswith("/")]
    paths = [name for name in names if name.startswith("/")]
    try:
        check(Invalidation(tags=tuple(tags), paths=tuple(paths), mode=mode, reason=reason))
    except InvalidEventError as error:
        raise WrongUsageError(str(error)) from None
    return InvalidationWrite(tags=tags, paths=paths, mode=mode, reason=reason)


async def invalidate(
    write: InvalidationWrite,
    service: Service,
    console: Console,
    *,
    wait: bool,
    timeout_s: float,
) -> None:
    """Publish, print the id of the event, and with `wait` how long each task took to apply it.

    Raises:
        WrongUsageError: there is no token, or the api would not wait that long.
        TargetError: when the api does not take it, or not every task had applied it in time.

    """
    if wait and timeout_s > WAIT_S_MAX:
        raise WrongUsageError(f"--timeout: the api waits at most {WAIT_S_MAX:g} s")
    async with Http(timeout_s=API_CALL_S_MAX) as http:
        accepted = await Api(http, service).invalidate(
            write, key=environment.new_id(), wait_s=timeout_s if wait else None
        )
    console.data(f"accepted {accepted.id}")
    if not wait:
        return
    if accepted.applied is None:
        raise TargetError(f"{service.url} did not report which tasks have applied {accepted.id}")
    console.data(told(accepted.applied))
    if problem := not_applied_reason(accepted.applied, timeout_s):
        raise TargetError(problem)


def told(applied: Applied) -> str:
    """Return one line: how many tasks are fresh, and the milliseconds of each. Pure."""
    count, total = fresh(applied)
    line = f"{count}/{total} tasks fresh"
    if applied.max_ms is not None:
        line += f" in {applied.max_ms:.0f} ms"
    if applied.each:
        ordered = sorted(applied.each.items(), key=lambda item: (item[1], item[0]))
        line += f" ({', '.join(f'{name} {time_ms:.0f}' for name, time_ms in ordered)})"
    if applied.missing:
        line += f", missing: {', '.join(sorted(applied.missing))}"
    if applied.vanished:
        line += f", vanished: {', '.join(sorted(applied.vanished))}"
    return line


def fresh(applied: Applied) -> tuple[int, int]:
    """Return how many tasks have applied it, and of how many; those that vanished do not count."""
    missing = len(applied.missing)
    if applied.each is not None:
        return len(applied.each), len(applied.each) + missing
    return max(applied.instances - missing, 0), applied.instances


def not_applied_reason(applied: Applied, timeout_s: float) -> str | None:
    """Return why this was not everywhere, None when it was. Pure.

    A task that vanished while it was waited for serves nothing as fresh any more: its lease has
    ended. So it is named, and no failure.
    """
    if applied.missing:
        names = ", ".join(sorted(applied.missing))
        return f"not applied everywhere after {timeout_s:g} s: {names} did not report it"
    if applied.unknown:
        return f"the api may not know of every task, others may still be stale: {applied.unknown}"
    if not applied.vanished and fresh(applied)[1] == 0:
        return "the api knows of no live task: is a BFF running, and connected to the log?"
    return None

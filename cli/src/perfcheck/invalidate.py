"""`perfcheck invalidate`: publish an invalidation and, if asked, wait until all have applied it."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import msgspec
from asgi_isr.errors import InvalidEventError
from asgi_isr.events import Invalidation, check

from perfcheck import environment
from perfcheck.concurrent import together
from perfcheck.console import Console
from perfcheck.exits import TargetError, WrongUsageError
from perfcheck.http import Http
from perfcheck.log import publisher
from perfcheck.state import required

WAIT_S_MAX = 25.0  # a BFF refuses to wait for more than 29 s in one call
AGAIN_S = 0.05
MARGIN_S = 1.0  # an instance answers at its limit; the call may take a little longer


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log is, and the addresses of the BFF instances."""

    nats_url: str
    bffs: list[str]


class _Position(msgspec.Struct):
    position: int | None  # None while it has not joined the log
    applied: bool


def target(directory: Path, *, nats_url: str | None, bffs: Sequence[str]) -> Target:
    """Return the target that the options name, else the running stack's; raises `TargetError`."""
    if nats_url is not None:
        return Target(nats_url=nats_url, bffs=list(bffs))
    run = required(directory)
    return Target(nats_url=run.nats_url, bffs=list(bffs) or run.urls.bff)


def event_of(names: Sequence[str], *, mode: str, reason: str) -> Invalidation:
    """Make the event: a name with a leading `/` is a path, any other a tag (`*` is everything).

    Raises:
        WrongUsageError: when the event must not be published, with the reason.

    """
    event = Invalidation(
        tags=tuple(name for name in names if not name.startswith("/")),
        paths=tuple(name for name in names if name.startswith("/")),
        mode=mode,
        reason=reason,
    )
    try:
        check(event)
    except InvalidEventError as error:
        raise WrongUsageError(str(error)) from None
    return event


async def invalidate(
    event: Invalidation, where: Target, console: Console, *, wait: bool, timeout_s: float
) -> None:
    """Publish the event, print its sequence, and with `wait` when every instance had applied it.

    Raises:
        TargetError: when the log does not confirm, or an instance does not apply it in time.

    """
    if wait and not where.bffs:
        raise TargetError("no BFF to wait for: name them with --bff, or leave --wait out")
    clock = environment.monotonic_s
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(publisher(where.nats_url))
        http = await stack.enter_async_context(Http(timeout_s=timeout_s + MARGIN_S))
        if wait:  # connections are opened before, so that their cost is not counted
            await together(_open(http, url) for url in where.bffs)
        start_s = clock()
        seq = await log.publish(event, now=environment.utc_now(), timeout_s=timeout_s)
        console.data(f"published {seq}")
        if not wait:
            return
        results = await together(
            applied_ms(http, url, seq, start_s, timeout_s) for url in where.bffs
        )
    times = sorted(result for result in results if isinstance(result, float))
    late = [result for result in results if isinstance(result, str)]
    told = f"{len(times)}/{len(results)} tasks applied"
    if times:
        told += f" in {times[-1]:.0f} ms ({', '.join(f'{each:.0f}' for each in times)})"
    console.data(told)
    if late:
        raise TargetError("; ".join(late))


async def _open(http: Http, url: str) -> None:
    with suppress(TargetError):  # reported when it matters
        await http.get(f"{url}/api/cache")


async def applied_ms(
    http: Http, url: str, seq: int, start_s: float, timeout_s: float
) -> float | str:
    """Return the milliseconds from `start_s` until it had applied `seq`, or what it did instead."""
    found = None
    while found is None or not found.applied:
        left_s = start_s + timeout_s - environment.monotonic_s()
        if found is not None and left_s <= 0:
            return f"{url} had not applied {seq} after {timeout_s:g} s: it is at {found.position}"
        if found is not None:
            await asyncio.sleep(AGAIN_S)  # it answered before the time was up
        wait_s = max(0.0, min(left_s, WAIT_S_MAX))
        try:
            reply = await http.get(
                f"{url}/api/cache?position={seq}&timeout_s={wait_s:.3f}",
                timeout_s=wait_s + MARGIN_S,
            )
            found = reply.expect(200).read(_Position)
        except TargetError as error:
            return str(error)
    return (environment.monotonic_s() - start_s) * 1000

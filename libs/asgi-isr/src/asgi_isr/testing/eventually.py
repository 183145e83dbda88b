"""Waiting in tests for what another task, process or server will make true."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

_SHOWN_CHARACTERS_MAX = 500

Errors = tuple[type[Exception], ...]


@overload
async def eventually(
    attempt: Callable[[], Awaitable[T | None]],
    *,
    timeout_s: float = ...,
    poll_s: float = ...,
    ignoring: Errors = ...,
) -> T: ...
@overload
async def eventually(
    attempt: Callable[[], T | None],
    *,
    timeout_s: float = ...,
    poll_s: float = ...,
    ignoring: Errors = ...,
) -> T: ...
async def eventually(
    attempt: Callable[[], object],
    *,
    timeout_s: float = 5.0,
    poll_s: float = 0.005,
    ignoring: Errors = (),
) -> object:
    """Call `attempt` until its result is truthy, and return that result.

    `attempt` may be asynchronous. It is called at once, and then `poll_s` seconds after each
    call that ended; with 0 at each turn of the event loop. Errors of the types `ignoring` count as
    not yet, others end the wait. Time is that of the event loop.

    Raises `AssertionError`, with the last result, after `timeout_s` seconds.
    """
    last: object = "none: the first attempt did not end"
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            while not limit.expired():  # an attempt may have swallowed the cancellation
                try:
                    result = attempt()
                    last = await result if inspect.isawaitable(result) else result
                except ignoring as error:
                    last = error
                else:
                    if last:
                        return last
                await asyncio.sleep(poll_s)
    except TimeoutError:
        if not limit.expired():
            raise  # the attempt's own
    raise AssertionError(_told(last, timeout_s))


def eventually_sync(
    attempt: Callable[[], T | None],
    *,
    timeout_s: float = 5.0,
    poll_s: float = 0.005,
    ignoring: Errors = (),
) -> T:
    """Do the same without an event loop; it blocks the thread, an attempt is not interrupted.

    Raises `AssertionError`, with the last result, after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        last: object
        try:
            result = attempt()
        except ignoring as error:
            last = error
        else:
            if result:
                return result
            last = result
        if time.monotonic() >= deadline:
            raise AssertionError(_told(last, timeout_s))
        time.sleep(poll_s)


def _told(last: object, timeout_s: float) -> str:
    shown = repr(last)[:_SHOWN_CHARACTERS_MAX]
    return f"not within {timeout_s:g} s; the last result was {shown}"

"""`eventually` returns what came true, waits no longer than it was told, and says what it saw."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from asgi_isr.testing import eventually, eventually_sync


def giving(*results: Any) -> Callable[[], Any]:
    """Return a function that gives one result a call, and raises those that are errors."""
    left: Iterator[Any] = iter(results)

    def attempt() -> Any:
        result = next(left)
        if isinstance(result, Exception):
            raise result
        return result

    return attempt


def giving_later(*results: Any) -> Callable[[], Any]:
    """Return `giving(*results)` as an asynchronous function."""
    attempt = giving(*results)

    async def later() -> Any:
        await asyncio.sleep(0)
        return attempt()

    return later


@pytest.mark.parametrize("make", [giving, giving_later])
async def test_first_truthy_result_is_returned(make: Callable[..., Any]) -> None:
    """What is none, false, empty or zero is not yet there."""
    assert await eventually(make(None, "", [], 0, ["found"], ["later"]), poll_s=0) == ["found"]


async def test_the_first_call_is_made_at_once() -> None:
    """What already holds is not waited for."""
    assert await eventually(giving("now"), poll_s=60, timeout_s=60) == "now"
    assert eventually_sync(giving("now"), poll_s=60, timeout_s=0) == "now"


@pytest.mark.parametrize("make", [giving, giving_later])
async def test_errors_that_are_expected_count_as_not_yet(make: Callable[..., Any]) -> None:
    """A server that is not up yet refuses; any other error ends the wait."""
    refused = ConnectionRefusedError("not up")
    assert await eventually(make(refused, refused, 1), poll_s=0, ignoring=(OSError,)) == 1
    with pytest.raises(ValueError, match="broken"):
        await eventually(make(refused, ValueError("broken")), poll_s=0, ignoring=(OSError,))


class NotYet(str):
    """A result that says what it is, and is not what is waited for."""

    __slots__ = ()

    def __bool__(self) -> bool:
        """Do not count."""
        return False


async def test_failure_says_how_long_and_what_was_seen_last() -> None:
    """Who reads the report sees the limit and the last result, at a bounded length."""
    seen = r"^not within 0\.01 s; the last result was 'two of three'$"
    with pytest.raises(AssertionError, match=seen):
        await eventually(lambda: NotYet("two of three"), timeout_s=0.01)
    with pytest.raises(AssertionError, match=seen):
        eventually_sync(lambda: NotYet("two of three"), timeout_s=0.01)
    with pytest.raises(AssertionError) as failure:
        await eventually(lambda: NotYet("x" * 100_000), timeout_s=0.01)
    assert len(str(failure.value)) < 600


async def test_failure_shows_an_error_that_counted_as_not_yet() -> None:
    """The reason of the last attempt is not lost."""

    def refuse() -> bool:
        raise ConnectionRefusedError("nobody listens")

    with pytest.raises(AssertionError, match="nobody listens"):
        await eventually(refuse, timeout_s=0.01, ignoring=(OSError,))
    with pytest.raises(AssertionError, match="nobody listens"):
        eventually_sync(refuse, timeout_s=0.01, ignoring=(OSError,))


async def test_attempt_that_hangs_is_cancelled() -> None:
    """The limit holds for a single attempt as well, and the failure says that none ended."""
    with pytest.raises(AssertionError, match="the first attempt did not end"):
        await eventually(asyncio.Event().wait, timeout_s=0.01)


async def test_attempt_that_swallows_the_cancellation_ends_the_wait() -> None:
    """A client library that takes the cancellation for itself does not make the wait endless."""

    async def deaf() -> bool:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return False

    with pytest.raises(AssertionError, match="last result was False"):
        await eventually(deaf, timeout_s=0.01)


async def test_timeout_of_the_attempt_itself_is_its_own_error() -> None:
    """A `TimeoutError` that the attempt raises is not taken for the limit."""
    with pytest.raises(TimeoutError, match="its own"):
        await eventually(giving_later(TimeoutError("its own")), timeout_s=60)
    assert await eventually(giving(TimeoutError(), 1), poll_s=0, ignoring=(TimeoutError,)) == 1


async def test_cancelling_the_wait_is_no_failure() -> None:
    """A test that is stopped is cancelled, not failed."""
    waiting = asyncio.ensure_future(eventually(lambda: bool(0), timeout_s=60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_without_a_loop() -> None:
    """The synchronous form gives the first truthy result, and takes errors that are expected."""
    attempt = giving(None, ConnectionRefusedError(), "up", "later")
    assert eventually_sync(attempt, poll_s=0, ignoring=(OSError,)) == "up"
    with pytest.raises(ValueError, match="broken"):
        eventually_sync(giving(ValueError("broken")), ignoring=(OSError,))

"""The command's HTTP client on small local servers."""

import threading
from typing import Any

import pytest
from perfcheck.exits import NoAnswerInTimeError, TargetError
from perfcheck.http import Http


async def test_answers_are_read_with_lower_case_names(serve: Any, make_bff: Any) -> None:
    """Status, header fields and body arrive whole."""
    async with Http(timeout_s=5.0) as http:
        reply = await http.get(f"{serve(make_bff())}/currencies/USD")
    assert reply.status == 200
    assert reply.headers["cache-status"].startswith("asgi-isr; hit")
    assert b"/currencies/USD" in reply.body


async def test_an_unexpected_status_is_told_with_the_body(serve: Any, fake_api: Any) -> None:
    """What the service said went wrong reaches the user."""
    async with Http(timeout_s=5.0) as http:
        reply = await http.put(f"{serve(fake_api)}/api/v1/days/2026-10-30", {})
        with pytest.raises(TargetError, match=r"answered 401: the token is not valid"):
            reply.expect(200, 201)


async def test_an_unexpected_body_is_told_with_the_address(serve: Any, fake_api: Any) -> None:
    """An answer of another shape is no traceback."""
    async with Http(timeout_s=5.0) as http:
        reply = await http.get(f"{serve(fake_api)}/api/v1/years")
        with pytest.raises(TargetError, match="/api/v1/years answered something unexpected"):
            reply.read(list)


async def test_a_late_answer_is_told_as_such(serve: Any, make_bff: Any) -> None:
    """The time limit of a call holds, and the error says which it was."""
    release = threading.Event()
    bff = make_bff()

    def slowly(asked: Any) -> Any:
        release.wait(5)
        return bff(asked)

    async with Http(timeout_s=5.0) as http:
        with pytest.raises(NoAnswerInTimeError, match=r"did not answer within 0\.05 s"):
            await http.get(f"{serve(slowly)}/", timeout_s=0.05)
        release.set()

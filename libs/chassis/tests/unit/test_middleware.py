import asyncio
import json
from typing import Any

import pytest
from perfcheck_chassis.asgi import ASGIApp
from perfcheck_chassis.http import RequestTimeLimit
from perfcheck_chassis.timing import ServerTiming, app_duration_s


async def answer(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer at once."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b'"1"')]})
    await send({"type": "http.response.body", "body": b"hello"})


async def hang(_scope: Any, _receive: Any, _send: Any) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def begin_and_hang(_scope: Any, _receive: Any, send: Any) -> None:
    """Begin an answer and never end it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.Event().wait()


async def own_limit(_scope: Any, _receive: Any, _send: Any) -> None:
    """Run into a time limit of its own."""
    raise TimeoutError("of the application")


async def call(app: ASGIApp, kind: str = "http") -> list[dict[str, Any]]:
    """Return what the application sends for one scope."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    await app({"type": kind}, receive, send)
    return sent


async def test_timing_header_is_added() -> None:
    """The response start gains a Server-Timing header and keeps its others."""
    start, body = await call(ServerTiming(answer))
    headers = dict(start["headers"])
    assert headers[b"etag"] == b'"1"'
    duration_s = app_duration_s(headers[b"server-timing"].decode())
    assert duration_s is not None
    assert 0 <= duration_s < 1
    assert body["body"] == b"hello"


async def test_timing_leaves_other_scopes_alone() -> None:
    """A scope that is not HTTP passes untouched."""
    start, _ = await call(ServerTiming(answer), "websocket")
    assert dict(start["headers"]) == {b"etag": b'"1"'}


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        ("app;dur=12.5", 0.0125),
        ("db;dur=3, app;desc=all;dur=2", 0.002),
        ('app;dur="4"', 0.004),
        ("apple;dur=1", None),
        ("app;desc=x", None),
        ("app;dur=long", None),
        ("", None),
    ],
)
def test_timing_header_is_read(header: str, expected_s: float | None) -> None:
    """The duration of `app` is found among other metrics, and nonsense is none."""
    assert app_duration_s(header) == expected_s


async def test_request_within_limit_passes() -> None:
    """A request that ends in time is untouched."""
    start, _ = await call(RequestTimeLimit(answer, limit_s=5))
    assert start["status"] == 200


async def test_request_over_limit_is_answered() -> None:
    """A request that takes too long is cancelled and answered 503 as problem details."""
    start, body = await call(RequestTimeLimit(hang, limit_s=0.01))
    assert start["status"] == 503
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"cache-control"] == b"no-store"
    assert int(headers[b"content-length"]) == len(body["body"])
    assert json.loads(body["body"])["type"] == "request-time-limit"


async def test_started_response_is_cut() -> None:
    """A response that had begun ends with the error, so that it does not look complete."""
    with pytest.raises(TimeoutError):
        await call(RequestTimeLimit(begin_and_hang, limit_s=0.01))


async def test_own_timeouts_are_not_swallowed() -> None:
    """A time limit of the application's own is its error, not this one's."""
    with pytest.raises(TimeoutError, match="of the application"):
        await call(RequestTimeLimit(own_limit, limit_s=5))


async def test_other_scopes_have_no_limit() -> None:
    """A WebSocket may stay as long as it likes."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await call(RequestTimeLimit(hang, limit_s=0.001), "websocket")

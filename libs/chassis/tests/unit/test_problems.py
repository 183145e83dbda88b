import threading
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest
from litestar import Litestar, get, put
from litestar.exceptions import NotAuthorizedException, ServiceUnavailableException
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.testing import AsyncTestClient
from perfcheck_chassis.http import Health, Problem, create_litestar
from perfcheck_contracts import DayWrite, FieldError


@get("/teapots/{code:str}")
async def teapot(code: FromPath[str]) -> None:
    """Raise a problem with everything."""
    raise Problem(
        404,
        type="unknown-teapot",
        title="No such teapot",
        detail=f"there is no teapot {code}",
        errors=[FieldError(field="code", detail="unknown")],
        headers={"Cache-Tag": f"teapot:{code}"},
    )


@get("/cached")
async def cached() -> None:
    """Raise a problem that may be cached."""
    raise Problem(404, headers={"cache-control": "max-age=5"})


@get("/days")
async def days(day: FromQuery[date], count: FromQuery[int] = 1) -> dict[str, Any]:
    """Take parameters."""
    return {"day": day, "count": count}


@put("/days")
async def write(data: JSONBody[DayWrite]) -> DayWrite:
    """Take a body."""
    return data


@get("/broken")
async def broken() -> None:
    """Fail unexpectedly."""
    raise RuntimeError("password=hunter2")


@get("/closed")
async def closed() -> None:
    """Ask for a token."""
    raise NotAuthorizedException("a token is needed", headers={"WWW-Authenticate": "Bearer"})


@get("/away")
async def away() -> None:
    """Say that something is away."""
    raise ServiceUnavailableException("db-7.internal is away")


@pytest.fixture
async def client() -> AsyncIterator[AsyncTestClient[Litestar]]:
    """Give a client of an application with all the handlers above."""
    health = Health("shop", "shop-1", draining_event=threading.Event())
    app = create_litestar(
        [teapot, cached, days, write, broken, closed, away], health=health, body_bytes_max=100
    )
    async with AsyncTestClient(app, raise_server_exceptions=False) as opened:
        yield opened


Client = AsyncTestClient[Litestar]


async def test_problem_becomes_its_answer(client: Client) -> None:
    """A raised problem is answered as problem details, with its headers, and is not stored."""
    answer = await client.get("/teapots/x")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-tag"] == "teapot:x"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "type": "unknown-teapot",
        "title": "No such teapot",
        "status": 404,
        "detail": "there is no teapot x",
        "errors": [{"field": "code", "detail": "unknown"}],
    }


async def test_problem_may_say_how_it_is_cached(client: Client) -> None:
    """A problem's own Cache-Control is left alone."""
    answer = await client.get("/cached")
    assert answer.headers.get_list("cache-control") == ["max-age=5"]
    assert answer.json()["type"] == "not-found"


async def test_bad_parameters_are_named(client: Client) -> None:
    """Parameters that do not fit are a 400 that names each."""
    answer = await client.get("/days?day=tomorrow&count=many")
    assert answer.status_code == 400
    assert answer.json()["type"] == "invalid-request"
    assert [error["field"] for error in answer.json()["errors"]] == ["day", "count"]
    missing = await client.get("/days")
    assert missing.status_code == 400
    assert "day" in missing.text


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"rates": 5}', 422, "rates"),
        (b'{"rates": {"USD": "much"}}', 422, "rates[...]"),
        (b"{}", 422, "body"),
        (b'{"rates": {}, "more": 1}', 422, "body"),
        (b"", 422, "body"),
    ],
)
async def test_body_that_does_not_fit_is_named(
    client: Client, body: bytes, status: int, field: str
) -> None:
    """JSON that does not fit the struct is a 422 with the path of the field."""
    answer = await client.put("/days", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert all(len(error["detail"]) > 10 for error in answer.json()["errors"])


async def test_body_that_is_not_json_is_a_400(client: Client) -> None:
    """What is not JSON is a 400 that says where it breaks off."""
    answer = await client.put(
        "/days", content=b'{"rates": ', headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "truncated" in answer.json()["detail"]


async def test_body_over_the_limit_is_a_413(client: Client) -> None:
    """A body over the application's limit is refused, and the limit is named."""
    answer = await client.put("/days", content=b"x" * 101)
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["field"] == "body"
    assert "100 bytes" in answer.json()["detail"]
    assert answer.json()["type"] == "content-too-large"


async def test_unknown_route_and_method(client: Client) -> None:
    """A route or method that does not exist is a problem too, with Allow for the method."""
    answer = await client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.json()["type"] == "not-found"
    assert answer.json()["detail"]
    answer = await client.delete("/broken")
    assert answer.status_code == 405
    assert "GET" in answer.json()["detail"]
    assert "GET" in answer.headers["allow"]
    assert answer.headers["content-type"] == "application/problem+json"


async def test_unexpected_error_tells_nothing(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is a 500 without its text; the log has it with the route."""
    answer = await client.get("/broken")
    assert answer.status_code == 500
    assert answer.json()["type"] == "internal-server-error"
    assert "hunter2" not in answer.text
    assert "GET /broken failed" in caplog.text
    assert "hunter2" in caplog.text


async def test_http_exceptions_keep_status_and_headers(client: Client) -> None:
    """Litestar's own exceptions keep status and headers; 5xx ones lose their text."""
    answer = await client.get("/closed")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["detail"] == "a token is needed"
    answer = await client.get("/away")
    assert answer.status_code == 503
    assert "internal" not in answer.json()["detail"]


async def test_application_becomes_ready_by_itself(client: Client) -> None:
    """After the lifespan has been entered the health routes of the application answer 200."""
    answer = await client.get("/api/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "pass"


async def test_body_that_breaks_off_is_a_400(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A sender that goes away, or sends malformed chunks, is no failure of the service."""
    incoming: list[Any] = [
        {"type": "http.request", "body": b'{"rates":', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/days",
        "raw_path": b"/days",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"99")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
        "extensions": {},
    }
    await client.app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert b'"field":"body"' in sent[1]["body"]
    assert "failed with" not in caplog.text

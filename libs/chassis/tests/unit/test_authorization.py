"""The guard of routes: who bears a good token gets in, everybody else learns why not."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import Litestar, Request, post
from litestar.testing import AsyncTestClient
from perfcheck_chassis.http import Health, caller_of, create_litestar, requires
from perfcheck_chassis.identity import TokenKeys
from perfcheck_chassis.secret import Secret

# By a clock that stands still: tests are given tokens that were made when they were collected.
KEYS = TokenKeys(Secret("k" * 32), now=lambda: 1_800_000_000.0)
WRITE = requires(KEYS, audience="api", scope="rates:write")


@post("/guarded", guards=[WRITE])
async def guarded(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Say who was let in."""
    caller = caller_of(request)
    return {"subject": caller.subject, "scopes": sorted(caller.scopes)}


@post("/closed", guards=[requires(TokenKeys(), audience="api", scope="rates:write")])
async def closed() -> None:
    """Let nobody in: there is no key."""


@pytest.fixture
async def client() -> AsyncIterator[AsyncTestClient[Litestar]]:
    """Give a client of the routes above."""
    app = create_litestar([guarded, closed], health=Health("test", "test-1"))
    async with AsyncTestClient(app) as opened:
        yield opened


def token(**changes: Any) -> str:
    """Sign a token that the guard accepts, changed."""
    good = {"subject": "cli", "audience": "api", "scopes": ["rates:write"]}
    return KEYS.issue(**(good | changes))


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
async def test_a_good_token_lets_in(client: AsyncTestClient[Litestar], scheme: str) -> None:
    """The handler learns who called; the scheme's case does not count (RFC 9110, section 11.1)."""
    answer = await client.post("/guarded", headers={"Authorization": f"{scheme}{token()}"})
    assert answer.status_code == 201
    assert answer.json() == {"subject": "cli", "scopes": ["rates:write"]}


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (None, "a bearer token is required"),
        ("", "a bearer token is required"),
        ("Bearer", "a bearer token is required"),
        ("Bearer   ", "a bearer token is required"),
        (f"Basic {token()}", "a bearer token is required"),
        (token(), "a bearer token is required"),
        ("Bearer a.b.c", "the token is not valid"),
        (f"Bearer {token()} {token()}", "the token is not valid"),
        (f"Bearer {token(audience='revalidator')}", "not meant for api"),
        (f"Bearer {token(lifetime_s=-60)}", "has expired"),
    ],
)
async def test_everybody_else_gets_401_and_the_reason(
    client: AsyncTestClient[Litestar], field: str | None, reason: str
) -> None:
    """The answer is problem details and names the scope that is asked for (RFC 6750, section 3)."""
    headers = {} if field is None else {"Authorization": field}
    answer = await client.post("/guarded", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == 'Bearer scope="rates:write"'
    assert reason in answer.json()["detail"]


async def test_a_token_without_the_scope_gets_403(client: AsyncTestClient[Litestar]) -> None:
    """The answer names the scope that another token needs (RFC 6750, section 3.1)."""
    field = f"Bearer {token(scopes=['rates:read'])}"
    answer = await client.post("/guarded", headers={"Authorization": field})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == (
        'Bearer error="insufficient_scope", scope="rates:write"'
    )
    assert "does not allow rates:write" in answer.json()["detail"]


async def test_without_a_key_a_route_is_closed(client: AsyncTestClient[Litestar]) -> None:
    """A service that was given no key refuses, rather than let everybody in."""
    answer = await client.post("/closed", headers={"Authorization": f"Bearer {token()}"})
    assert answer.status_code == 401
    assert "no token key is configured" in answer.json()["detail"]


async def test_two_good_fields_of_authorization_are_not_mixed(
    client: AsyncTestClient[Litestar],
) -> None:
    """A second field cannot lend its token to the first (RFC 9110, section 5.3)."""
    answer = await client.post(
        "/guarded",
        headers=[("Authorization", "Basic eDp5"), ("Authorization", f"Bearer {token()}")],
    )
    assert answer.status_code == 401

"""Forged tokens at every route of the three services that wants one."""

from typing import Any

import httpx
import pytest
from perfcheck import environment

from e2e.forged_tokens import Holder, forged

DAY = "2026-10-29"
ROUTES: dict[str, list[tuple[str, str, str, Any]]] = {
    "api": [
        ("PATCH", f"/api/v1/days/{DAY}", "rates:write", {"rates": {"USD": 9.9}}),
        ("PUT", f"/api/v1/days/{DAY}", "rates:write", {"rates": {"USD": 9.9}}),
        ("POST", "/api/v1/invalidations", "invalidations:write", {"tags": ["forged"]}),
        ("GET", "/api/v1/invalidations", "invalidations:read", None),
    ],
    "frontend-bff": [("POST", "/api/cache/warm", "cache:warm", {"paths": ["/"]})],
    "revalidator": [
        ("GET", "/api/v1/dead-letters", "dead-letters", None),
        ("POST", "/api/v1/dead-letters/1/retry", "dead-letters", None),
    ],
}
KINDS_MIN = 39
TOO_LARGE = {400, 401, 413, 431}


def _address(stack: Any, service: str) -> str:
    if service == "frontend-bff":
        return str(stack.bffs[0])
    return str(stack.run["urls"][service])


def _ask(stack: Any, service: str, route: tuple[str, str, str, Any], token: str) -> httpx.Response:
    method, path, _, body = route
    url = f"{_address(stack, service)}{path}"
    fields = {"Authorization": f"Bearer {token}".strip().encode()}
    answer: httpx.Response = stack.http.request(method, url, json=body, headers=fields)
    return answer


def _kept(stack: Any) -> tuple[object, ...]:
    """Return what a forged write would change."""
    read = stack.bearer("invalidations:read")
    receipts = stack.http.get(f"{stack.api}/api/v1/invalidations?source=api", headers=read).json()
    return stack.rates(DAY), [each["id"] for each in receipts["receipts"]]


@pytest.mark.parametrize("service", ROUTES)
def test_a_forged_token_opens_no_route(stack: Any, service: str) -> None:
    """Each is refused in the words of a problem, and changes nothing; a good one is let in."""
    before = _kept(stack)
    accepted: list[tuple[object, ...]] = []
    for route in ROUTES[service]:
        now_s = int(environment.utc_now().timestamp())
        holder = Holder(stack.run["token_key"], service, route[2], now_s)
        kinds = list(forged(holder))
        assert len({name for name, _, _ in kinds}) == len(kinds) >= KINDS_MIN
        for name, token, status in kinds:
            answer = _ask(stack, service, route, token)
            if answer.status_code != status:
                accepted.append((*route[:2], name, answer.status_code))
            elif holder.key in answer.text or "problem+json" not in answer.headers["content-type"]:
                accepted.append((*route[:2], name, answer.text))
        for length in (10_000, 1_000_000):
            answer = _ask(stack, service, route, holder.good() + "x" * length)
            assert answer.status_code in TOO_LARGE
        if route[0] == "GET":
            assert _ask(stack, service, route, holder.good()).status_code == 200
    assert not accepted
    assert _kept(stack) == before

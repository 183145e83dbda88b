"""`POST /api/cache/warm` of a running BFF: pages are rendered before somebody asks for them."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asgi_isr.testing import eventually_sync
from perfcheck_chassis.identity import TokenKeys
from perfcheck_chassis.secret import Secret

pytestmark = pytest.mark.integration

KEY = "k" * 32


@pytest.fixture(scope="module")
def warm_bff(
    run_process: Callable[..., AbstractContextManager[Any]], bff_environ: Mapping[str, str],
    folder: Path,
) -> Iterator[Any]:  # fmt: skip
    """Run a BFF that takes tokens, and whose lease stands."""
    environ = {
        **bff_environ,
        "PERFCHECK_INSTANCE_ID": "bff-that-warms",
        "PERFCHECK_TOKEN_KEY": KEY,
    }
    with run_process("perfcheck_bff", folder / "bff-that-warms.log", environ) as service:
        eventually_sync(
            lambda: service.get("/api/cache").json()["lease_remaining_s"] > 0, timeout_s=10
        )
        yield service


def bearer(scope: str = "cache:warm", audience: str = "frontend-bff") -> dict[str, str]:
    """Return the headers of who may do `scope` at `audience`."""
    keys = TokenKeys(Secret(KEY))
    token = keys.issue(subject="test", audience=audience, scopes=[scope])
    return {"authorization": f"Bearer {token}"}


def warm(
    bff: Any, paths: list[str], *, seq: int = 0, headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Any:  # fmt: skip
    """Ask for `paths`."""
    body = json.dumps({"seq": seq, "paths": paths, **more}).encode()
    own = {"content-type": "application/json", **(bearer() if headers is None else headers)}
    return bff.call("POST", "/api/cache/warm", headers=own, body=body)


def test_pages_are_rendered_in_the_order_asked_for(warm_bff: Any) -> None:
    """Each page is named once, in the order of the question, and is a hit for who comes next."""
    paths = ["/years/2025", "/pairs/JPY/IDR", "/years/2025", "/currencies/USD"]
    answer = warm(warm_bff, paths)
    assert answer.status == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    pages = answer.json()["pages"]
    assert [page["path"] for page in pages] == [paths[0], paths[1], paths[3]]
    assert {page["status"] for page in pages} == {200}
    assert all("fwd=" in page["cache_status"] for page in pages)
    for path in set(paths):
        assert "; hit" in warm_bff.get(path).headers["cache-status"]
    again = warm(warm_bff, paths[:1]).json()["pages"]
    assert "; hit" in again[0]["cache_status"]


def test_a_page_that_is_not_there_is_told_with_its_status(warm_bff: Any) -> None:
    """A page that an event may have removed is asked for like any other, and its 404 is told."""
    [page] = warm(warm_bff, ["/currencies/NOPE"]).json()["pages"]
    assert page["status"] == 404


def nobody() -> dict[str, str]:
    """Return the headers of who says nothing of himself."""
    return {}


def forged() -> dict[str, str]:
    """Return the headers of who made a token up."""
    return {"authorization": "Bearer nonsense"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (nobody, 401),
        (forged, 401),
        (partial(bearer, audience="api"), 401),
        (partial(bearer, scope="dead-letters"), 403),
    ],
)
def test_only_who_may_warm_is_let_in(
    warm_bff: Any, headers: Callable[[], dict[str, str]], status: int
) -> None:
    """No token, a forged one, another service's or one without the scope: nothing is rendered."""
    # Made here, not when tests are collected: by now such a token may have expired.
    assert warm(warm_bff, ["/years/2024"], headers=headers()).status == status


@pytest.mark.parametrize(
    "path",
    [
        "/api/health",
        "/%61pi/health",
        "/perf",
        "/assets/x.css",
        "/ssr",
        "years",
        "",
        "/a b\n",
        "//#x",
    ],
)
def test_what_is_no_page_is_refused(warm_bff: Any, path: str) -> None:
    """A path that is no page of the cache is named with its place, and nothing is rendered."""
    answer = warm(warm_bff, ["/currencies", path])
    assert answer.status == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == ["paths[1]"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": 20.5}, "timeout_s"),
        ({"seq": -1}, "seq"),
        ({"paths": ["/"] * 101}, "paths"),
    ],
)
def test_what_is_out_of_bounds_is_refused(warm_bff: Any, more: dict[str, Any], field: str) -> None:
    """Time, sequence and number of paths have bounds, and the answer says which was left."""
    answer = warm(warm_bff, **{"paths": ["/"], **more})
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_sequence_that_does_not_come_ends_the_wait(warm_bff: Any) -> None:
    """Before the log is applied so far nothing is rendered; at the time limit none is named."""
    position = warm_bff.get("/api/cache").json()["position"]
    began_s = time.monotonic()
    answer = warm(warm_bff, ["/"], seq=position + 1_000_000, timeout_s=0.4)
    assert answer.status == 200
    assert answer.json() == {"pages": []}
    assert time.monotonic() - began_s >= 0.4

"""What is refused over HTTP: a problem that names the field, and nothing written."""

from typing import Any

import pytest

DAY = "2026-10-30"

# (method, path, body, status, field named)
REFUSED = [
    ("GET", "/currencies/ZZZ", None, 404, "code"),
    ("GET", "/currencies/ZZZ/rates", None, 404, "code"),
    ("GET", "/pairs/USD/ZZZ", None, 404, "quote"),
    ("GET", "/pairs/USD/JPY?from=2020-01-02&to=2020-01-01", None, 400, "from"),
    ("GET", "/currencies/USD/rates?from=yesterday", None, 400, "from"),
    ("GET", "/days/2026-02-30", None, 400, "date"),
    ("GET", "/days/2999-01-01", None, 404, "date"),
    ("GET", "/years/1998", None, 404, "year"),
    ("PUT", "/days/2999-01-01", '{"rates":{"USD":1.1}}', 422, "date"),
    ("PUT", f"/days/{DAY}", '{"rates":{"ZZZ":1.1}}', 422, "rates.ZZZ"),
    ("PUT", f"/days/{DAY}", '{"rates":{"USD":-1}}', 422, "rates.USD"),
    ("PUT", f"/days/{DAY}", '{"rates":{"USD":"x"}}', 422, "rates.USD"),
    ("PUT", f"/days/{DAY}", '{"rates":', 400, "body"),
    ("PUT", f"/days/{DAY}", '{"rates":{"USD":1.1}, "pad":"' + "x" * 70_000 + '"}', 413, "body"),
    ("PATCH", f"/days/{DAY}", '{"rates":{"USD":1e400}}', 422, "rates.USD"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "field"), REFUSED)
def test_api_refuses_and_names_the_field(  # noqa: PLR0917  columns of the table
    stack: Any, method: str, path: str, body: str | None, status: int, field: str
) -> None:
    """Bad input gets problem details (RFC 9457) that name the field; the day stays as it was."""
    before = stack.rates(DAY)
    reply = stack.http.request(
        method,
        f"{stack.api}/api/v1{path}",
        content=body,
        headers={"content-type": "application/json", **stack.bearer("rates:write")},
    )
    assert reply.headers["content-type"].startswith("application/problem+json")
    problem = reply.json()
    named = [error["field"] for error in problem.get("errors", [])]
    assert status == reply.status_code, problem
    assert any(name.startswith(field) for name in named), problem
    assert before == stack.rates(DAY)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/currencies/ZZZ", 404),
        ("/pairs/USD/ZZZ", 404),
        ("/pairs/USD/USD", 404),
        ("/days/2026-02-30", 404),
        ("/days/2999-01-01", 404),
        ("/years/1998", 404),
        ("/nothing", 404),
    ],
)
def test_page_that_does_not_exist(stack: Any, path: str, status: int) -> None:
    """A page of nothing is a friendly HTML page with an error status."""
    reply = stack.page(path)
    assert reply.status_code in {status, 400}
    assert "<html" in reply.text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("bad tag",), "' '"),
        (("a,b",), "','"),
        (("x" * 257,), "257 characters"),
        (("currency:usd", "--mode", "brutal"), "brutal"),
        (("/pairs?x=1",), "query"),
    ],
)
def test_command_refuses_to_publish(stack: Any, arguments: tuple[str, ...], reason: str) -> None:
    """An invalid tag, path or mode is refused with the reason, and no event is published."""
    before = stack.http.get(f"{stack.bffs[0]}/api/cache").json()["counters"]["invalidated"]
    done = stack.command("invalidate", *arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    after = stack.http.get(f"{stack.bffs[0]}/api/cache").json()["counters"]["invalidated"]
    assert before == after

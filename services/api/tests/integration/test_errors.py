"""Bad input: a problem that names the field, the tags of what may come, and nothing written."""

from typing import Any, NamedTuple

import pytest


class Case(NamedTuple):
    id: str
    method: str
    target: str
    status: int
    fields: list[str]
    body: bytes = b""
    tags: list[str] | None = None


USD = b'{"rates":{"USD":1.5}}'

CASES = [
    Case("unknown code", "GET", "/currencies/XYZ", 404, ["code"], tags=["currency:xyz"]),
    Case("the base", "GET", "/currencies/EUR", 404, ["code"], tags=["currency:eur"]),
    Case("no code at all", "GET", "/currencies/U$D", 404, ["code"], tags=["currencies"]),
    Case("unknown history", "GET", "/currencies/XYZ/rates", 404, ["code"], tags=["currency:xyz"]),
    Case(
        "unknown base",
        "GET",
        "/pairs/XYZ/USD",
        404,
        ["base"],
        tags=["currency:xyz", "currency:usd"],
    ),
    Case(
        "unknown quote",
        "GET",
        "/pairs/EUR/XYZ",
        404,
        ["quote"],
        tags=["currency:eur", "currency:xyz"],
    ),
    Case("pair of one", "GET", "/pairs/USD/usd", 400, ["quote"]),
    Case("bad from", "GET", "/currencies/USD/rates?from=yesterday", 400, ["from"]),
    Case("bad to", "GET", "/pairs/USD/JPY?to=2026-02-30", 400, ["to"]),
    Case(
        "reversed range",
        "GET",
        "/currencies/USD/rates?from=2026-02-02&to=2026-02-01",
        400,
        ["from", "to"],
    ),
    Case("range in the future", "GET", "/currencies/USD/rates?from=2026-11-03", 400, ["from"]),
    Case("range before the euro", "GET", "/currencies/USD/rates?to=1999-01-03", 400, ["to"]),
    Case("bad date", "GET", "/days/2026-13-01", 400, ["date"]),
    Case("short date", "GET", "/days/20261030", 400, ["date"]),
    Case("weekend", "GET", "/days/2026-10-31", 404, ["date"], tags=["day:2026-10-31"]),
    Case("future day", "GET", "/days/2027-01-04", 404, ["date"], tags=["day:2027-01-04"]),
    Case("before the euro", "GET", "/days/1998-12-31", 404, ["date"], tags=["day:1998-12-31"]),
    Case("bad year", "GET", "/years/99", 400, ["year"]),
    Case("year zero", "GET", "/years/0000", 400, ["year"]),
    Case("empty year", "GET", "/years/1998", 404, ["year"], tags=["year:1998"]),
    Case("last year of all", "GET", "/years/9999", 404, ["year"], tags=["year:9999"]),
    Case("no such route", "GET", "/nothing", 404, []),
    Case("no such method", "DELETE", "/days/2026-10-30", 405, []),
    Case("write: bad date", "PUT", "/days/latest-ish", 400, ["date"], USD),
    Case("write: future", "PUT", "/days/2026-11-03", 422, ["date"], USD),
    Case("write: before the euro", "PATCH", "/days/1999-01-03", 422, ["date"], USD),
    Case("write: no body", "PUT", "/days/2026-10-30", 400, ["body"]),
    Case("write: malformed", "PUT", "/days/2026-10-30", 400, ["body"], b'{"rates":'),
    Case("write: not UTF-8", "PUT", "/days/2026-10-30", 400, ["body"], b'{"rates":"\xff"}'),
    Case("write: no object", "PUT", "/days/2026-10-30", 422, ["body"], b"[1]"),
    Case("write: no rates", "PUT", "/days/2026-10-30", 422, ["rates"], b"{}"),
    Case("write: rates a list", "PUT", "/days/2026-10-30", 422, ["rates"], b'{"rates":[]}'),
    Case("write: empty rates", "PUT", "/days/2026-10-30", 422, ["rates"], b'{"rates":{}}'),
    Case(
        "write: every bad field is named",
        "PUT",
        "/days/2026-10-30",
        422,
        ["day", "rates.XYZ", "rates.EUR", "rates.JPY", "rates.GBP", "rates.CHF", "rates.usd"],
        b'{"day":1,"rates":{"XYZ":1,"EUR":1,"JPY":0,"GBP":"1","CHF":null,"USD":2,"usd":2}}',
    ),
    Case(
        "write: negative", "PATCH", "/days/2026-10-30", 422, ["rates.USD"], b'{"rates":{"USD":-1}}'
    ),
    Case("write: bool", "PATCH", "/days/2026-10-30", 422, ["rates.USD"], b'{"rates":{"USD":true}}'),
    Case(
        "write: not finite",
        "PUT",
        "/days/2026-10-30",
        422,
        ["rates.USD"],
        b'{"rates":{"USD":1e999}}',
    ),
    Case("write: tiny", "PUT", "/days/2026-10-30", 422, ["rates.USD"], b'{"rates":{"USD":1e-30}}'),
    Case(
        "write: too many digits",
        "PUT",
        "/days/2026-10-30",
        422,
        ["rates.USD"],
        b'{"rates":{"USD":1.' + b"1" * 30 + b"}}",
    ),
    Case("write: NaN", "PUT", "/days/2026-10-30", 400, ["body"], b'{"rates":{"USD":NaN}}'),
    Case("write: too large", "PUT", "/days/2026-10-30", 413, ["body"], b" " * 65_537),
]

STATE = "SELECT count(*), sum(rate), (SELECT count(*) FROM outbox) FROM rates"


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
async def test_bad_input_is_refused(case: Case, reader: Any, full_data: Any, fetch: Any) -> None:
    """The answer is a problem that names each bad field; neither rates nor outbox change."""
    before = fetch(full_data.url, STATE)
    answer = await reader.send(case.method, f"/v1{case.target}", case.body)
    problem = answer.json()
    assert (answer.status, problem["status"]) == (case.status, case.status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in problem["errors"]] == case.fields
    assert problem["type"]
    assert problem["title"]
    if case.tags is None:
        assert "cache-tag" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"
    else:
        assert answer.tags == case.tags
        assert answer.headers["cache-control"] == "no-cache"
    assert fetch(full_data.url, STATE) == before


async def test_nothing_ingested_is_no_error_of_the_service(
    schema_url: str, open_client: Any, no_nats_url: str
) -> None:
    """Without any rates, lists are empty and the rest is 404 with the tags of what will come."""
    async with open_client(schema_url, nats_url=no_nats_url) as client:
        assert (await client.get("/currencies")).json() == {"currencies": []}
        assert (await client.get("/years")).json() == {"years": []}
        for target, tag in [
            ("/days/latest", "latest"),
            ("/currencies/USD", "currency:usd"),
            ("/currencies/USD/rates", "currency:usd"),
            ("/years/2026", "year:2026"),
        ]:
            answer = await client.get(target)
            assert (answer.status, answer.tags) == (404, [tag])
        assert (await client.send("GET", "/health")).json()["checks"]["postgres"]["detail"] == ""


async def test_health_says_when_migrations_are_missing(
    empty_url: str, open_client: Any, no_nats_url: str
) -> None:
    """A database without schema makes the service unready, and the reason says what to run."""
    async with open_client(empty_url, nats_url=no_nats_url) as client:
        answer = await client.send("GET", "/health")
        assert answer.status == 503
        assert "run migrate" in answer.json()["checks"]["postgres"]["detail"]

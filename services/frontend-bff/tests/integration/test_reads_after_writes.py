"""Who writes through the api sees it in the pages at once, with the token that the api gave."""

from typing import Any

import pytest

PAGE = "/days/2026-10-29"
DAY = "/api/v1/days/2026-10-29"


def write(api: Any, writer: dict[str, str], rate: str) -> str:
    """Set a rate; return the consistency token of the change."""
    body = f'{{"rates": {{"USD": {rate}}}}}'.encode()
    answer = api.call("PATCH", DAY, headers=writer, body=body)
    assert answer.status == 200, answer.text
    return str(answer.headers["consistency-token"])


@pytest.mark.parametrize("carrier", ["field", "cookie"])
def test_each_write_is_seen_by_the_next_read(
    bff: Any, api: Any, writer: dict[str, str], carrier: str
) -> None:
    """Five times in a row, without any wait in between; nothing is kept by caches beyond."""
    bff.get(PAGE)
    for number in range(5):
        rate = f"1.{1000 + number + (500 if carrier == 'cookie' else 0)}"
        token = write(api, writer, rate)
        fields = (
            {"Consistency-Token": token}
            if carrier == "field"
            else {"Cookie": f"theme=dark; consistency-token={token}"}
        )
        answer = bff.call("GET", PAGE, headers=fields)
        assert rate in answer.text, answer.headers["cache-status"]
        assert answer.headers["cache-control"] in {"private, no-cache", "no-store"}
        assert answer.headers["cdn-cache-control"] == "no-store"


def test_events_come_before_the_bound_of_the_wait(
    bff: Any, api: Any, writer: dict[str, str]
) -> None:
    """The relay tells with each event which rows stand in the log: no read has to be rendered."""
    before = bff.get("/api/cache").json()["counters"]["unreached"]
    for number in range(3):
        token = write(api, writer, f"1.{2000 + number}")
        bff.call("GET", PAGE, headers={"Consistency-Token": token})
    assert bff.get("/api/cache").json()["counters"]["unreached"] == before


def test_a_forged_token_is_counted_and_costs_no_wait(
    bff: Any, api: Any, writer: dict[str, str]
) -> None:
    """Its client gets what others get, with their fields."""
    before = bff.get("/api/cache").json().get("tokens_refused", 0)
    token = write(api, writer, "1.4999")
    forged = bff.call("GET", PAGE, headers={"Consistency-Token": token[:-4] + "AAAA"})
    assert forged.status == 200
    assert "cdn-cache-control" not in forged.headers
    assert bff.get("/api/cache").json()["tokens_refused"] == before + 1

import asyncio
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg
import pytest
from asgi_isr.events import decode

OUTBOX = "SELECT event_id, subject, payload, seq FROM outbox ORDER BY id"
LAST = "2026-10-30"  # the data's last day, a Friday; the tests' today is the Monday after
MONDAY = "2026-11-02"


def _events(fetch: Any, client: Any) -> list[tuple[UUID, list[str]]]:
    rows = fetch(client.settings.database_url.reveal(), OUTBOX)
    return [(event_id, list(decode(payload).tags)) for event_id, _, payload, _ in rows]


async def test_put_replaces_a_day(writer: Any, fetch: Any) -> None:
    """Rates that are not given are gone, and the event names every currency, old and new."""
    before = (await writer.get(f"/days/{LAST}")).json()
    answer = await writer.put(f"/days/{LAST}", {"rates": {"USD": 1.5, "jpy": 160.25}})
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    written = answer.json()
    [(event_id, tags)] = _events(fetch, writer)
    assert written.pop("event_id") == str(event_id)
    assert written == (await writer.get(f"/days/{LAST}")).json()
    assert {rate["code"]: rate["rate"] for rate in written["rates"]} == {"JPY": 160.25, "USD": 1.5}
    named = {f"currency:{rate['code'].lower()}" for rate in before["rates"]}
    assert set(tags) == {f"day:{LAST}", "year:2026", "currencies", "latest", *named}


async def test_put_of_a_new_day_creates_it(writer: Any, fetch: Any) -> None:
    """A day that appears is 201, becomes the latest, and its neighbour is told."""
    answer = await writer.put(f"/days/{MONDAY}", {"rates": {"USD": 1.2}})
    assert (answer.status, answer.json()["previous"]) == (201, LAST)
    assert (await writer.get("/days/latest")).json()["day"] == MONDAY
    assert (await writer.get(f"/days/{LAST}")).json()["next"] == MONDAY
    [(_, tags)] = _events(fetch, writer)
    assert set(tags) == {
        f"day:{MONDAY}", f"day:{LAST}", "year:2026", "currencies", "currency:usd", "latest",
    }  # fmt: skip


async def test_patch_merges_and_null_removes(writer: Any, fetch: Any) -> None:
    """Rates that are not named stay, null removes one; the event names only those given."""
    before = {rate["code"] for rate in (await writer.get("/days/2026-10-28")).json()["rates"]}
    answer = await writer.patch("/days/2026-10-28", {"rates": {"USD": 2, "GBP": None, "CYP": None}})
    after = {rate["code"]: rate["rate"] for rate in answer.json()["rates"]}
    assert after.keys() == before - {"GBP"}
    assert after["USD"] == 2
    [(_, tags)] = _events(fetch, writer)
    assert set(tags) == {
        "day:2026-10-28", "year:2026", "currencies",
        "currency:usd", "currency:gbp", "currency:cyp",
    }  # fmt: skip


async def test_a_day_disappears_with_its_last_rate(writer: Any, fetch: Any) -> None:
    """Removing every rate removes the day: it is 404 then, and its neighbours are told."""
    day = (await writer.get("/days/2026-10-28")).json()
    removed = {rate["code"]: None for rate in day["rates"]}
    answer = await writer.patch("/days/2026-10-28", {"rates": removed})
    assert (answer.status, answer.json()["rates"]) == (200, [])
    assert (await writer.get("/days/2026-10-28")).status == 404
    assert (await writer.get("/days/2026-10-29")).json()["previous"] == "2026-10-27"
    [(_, tags)] = _events(fetch, writer)
    assert {"day:2026-10-27", "day:2026-10-28", "day:2026-10-29"} <= set(tags)
    assert "latest" not in tags


async def test_a_year_appears_with_its_first_day(
    schema_url: str, open_client: Any, no_nats_url: str, fetch: Any
) -> None:
    """The list of years and the neighbouring years are told."""
    async with open_client(schema_url, nats_url=no_nats_url) as client:
        for day in ("2020-05-04", "2022-05-04", "2021-05-04"):
            assert (await client.put(f"/days/{day}", {"rates": {"USD": 1.1}})).status == 201
        _, _, (_, tags) = _events(fetch, client)
        assert {"years", "year:2020", "year:2021", "year:2022"} <= set(tags)
        assert (await client.get("/years")).json() == {"years": [2020, 2021, 2022]}
        year = (await client.get("/years/2021")).json()
        assert (year["previous"], year["next"]) == (2020, 2022)


async def test_rates_keep_their_digits(writer: Any, fetch: Any) -> None:
    """A rate is stored as the decimal number that was sent."""
    await writer.send("PATCH", f"/v1/days/{LAST}", b'{"rates":{"USD":1.08530000000000001}}')
    sql = f"SELECT rate::text FROM rates WHERE currency = 'USD' AND day = '{LAST}'"  # noqa: S608
    assert fetch(writer.settings.database_url.reveal(), sql) == [("1.08530000000000001",)]


async def test_a_write_without_effect_is_still_announced(writer: Any, fetch: Any) -> None:
    """Always one event per write: the caller may count on it."""
    same = {
        rate["code"]: rate["rate"] for rate in (await writer.get(f"/days/{LAST}")).json()["rates"]
    }
    await writer.put(f"/days/{LAST}", {"rates": same})
    await writer.put(f"/days/{LAST}", {"rates": same})
    assert len({event_id for event_id, _ in _events(fetch, writer)}) == 2


async def test_change_and_event_are_one_transaction(writer: Any, fetch: Any) -> None:
    """When the event cannot be written, the rates do not change either; the caller gets 500."""
    url = writer.settings.database_url.reveal()
    fetch(url, "ALTER TABLE outbox ADD CONSTRAINT is_full CHECK (false) NOT VALID")
    before = await writer.get(f"/days/{LAST}")
    answer = await writer.put(f"/days/{LAST}", {"rates": {"USD": 9}})
    assert answer.status == 500
    assert "constraint" not in answer.body.decode()
    assert (await writer.get(f"/days/{LAST}")).body == before.body
    assert fetch(url, "SELECT count(*) FROM outbox") == [(0,)]


async def test_concurrent_writers_wait_for_each_other(writer: Any, fetch: Any) -> None:
    """Writers of neighbouring new days see each other: every event names what the other added."""
    days = ["2026-10-31", "2026-11-01", MONDAY]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(writer.put(f"/days/{day}", {"rates": {"USD": 1.2}})) for day in days
        ]
    assert [task.result().status for task in tasks] == [201, 201, 201]
    events = [set(tags) for _, tags in _events(fetch, writer)]
    order = [next(day for day in days if f"day:{day}" in tags) for tags in events]
    for earlier, later in pairwise(days):
        # Whoever came second knew the first: one event at least names both.
        assert any({f"day:{earlier}", f"day:{later}"} <= tags for tags in events), order


async def test_a_writer_waits_for_no_longer_than_the_time_limit(
    copy_url: str, open_client: Any, no_nats_url: str
) -> None:
    """A writer that another one blocks is answered 503 in time, and nothing is written."""
    async with (
        open_client(copy_url, nats_url=no_nats_url, statement_timeout_s=0.3) as client,
        await psycopg.AsyncConnection.connect(copy_url) as blocker,
    ):
        await blocker.execute("SELECT pg_advisory_xact_lock(7265003)")
        answer = await client.put(f"/days/{LAST}", {"rates": {"USD": 9}})
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["type"] == "database-unavailable"
        await blocker.rollback()
        assert (await client.put(f"/days/{LAST}", {"rates": {"USD": 9}})).status == 200


@pytest.mark.parametrize("code", ["USD", "JPY"])
async def test_reads_follow_a_write_at_once(writer: Any, code: str) -> None:
    """The answer after a write's 200 has the new rate, on every page that shows it."""
    await writer.patch(f"/days/{LAST}", {"rates": {code: 123.5}})
    assert (await writer.get(f"/currencies/{code}")).json()["rate"] == 123.5
    assert (await writer.get(f"/pairs/EUR/{code}")).json()["rates"][-1] == 123.5
    assert (await writer.get(f"/currencies/{code}/rates")).json()["rates"][-1] == 123.5

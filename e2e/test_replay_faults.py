"""Kill each part in the middle of a replay of many days: what is true afterwards."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from asgi_isr.logs.nats import close, connect
from asgi_isr.testing import eventually_sync

DAYS = 60
WRITERS = 4
RATE_PER_S = 60.0
WRITE_TIMEOUT_S = 90.0
BATCH = 500  # messages read at once
STREAM = "CACHE_INVALIDATIONS"
SUBJECT = "cache.invalidations.v1.api"
PARTS = ["api", "nats", "revalidator", "valkey", "bff-2"]
DONE = {"applied", "done"}


@pytest.fixture(scope="module")
def year(module_stack: Any) -> Any:
    """Give a system whose pages are warm, and the last business days, oldest first."""
    days: list[str] = []
    name: str | None = "latest"
    while name is not None and len(days) < DAYS:
        day = module_stack.http.get(f"{module_stack.api}/api/v1/days/{name}").json()
        days.append(day["day"])
        name = day["previous"]
    return module_stack, days[::-1]


class Replay:
    """Writes days at a rate, each until it is taken; what a careful publisher does."""

    def __init__(self, stack: Any, days: list[str], factor: float) -> None:
        self.stack = stack
        self.events: list[str] = []
        self.half = threading.Event()
        self._days = days
        self._factor = factor
        self._rates = {day: stack.rates(day) for day in days}

    def run(self) -> None:
        """Write all days; return when each was taken."""
        start = time.monotonic()
        with ThreadPoolExecutor(WRITERS) as pool:
            for written in pool.map(lambda number: self._write(start, number), range(DAYS)):
                self.events.append(written)

    def _write(self, start: float, number: int) -> str:
        time.sleep(max(0.0, start + number / RATE_PER_S - time.monotonic()))
        if number == DAYS // 2:
            self.half.set()
        day = self._days[number]
        rates = {code: round(rate * self._factor, 6) for code, rate in self._rates[day].items()}
        # Nobody listens, or the answer was lost: a write may be sent again.
        return eventually_sync(
            lambda: self._taken(day, rates),
            timeout_s=WRITE_TIMEOUT_S,
            poll_s=0.1,
            ignoring=(httpx.TransportError,),
        )

    def _taken(self, day: str, rates: dict[str, float]) -> str:
        """Write a day; return the event's id, or nothing where the api says to come again."""
        reply = self.stack.write(day, **rates)
        if reply.status_code == 200:
            return str(reply.json()["event_id"])
        assert reply.status_code in {503, 502}, reply.text
        return ""


def paths(stack: Any, days: list[str]) -> Iterator[str]:
    """Name every kind of page, those of a third of the currencies, and each page of the days."""
    listed = stack.http.get(f"{stack.api}/api/v1/currencies").json()["currencies"]
    codes = [currency["code"] for currency in listed[::3]]
    yield from ("/", "/currencies", "/years")
    yield from (f"/currencies/{code}" for code in codes)
    yield from (f"/pairs/EUR/{code}" for code in codes)
    yield from (f"/pairs/{code}/USD" for code in codes if code != "USD")
    yield from (f"/days/{day}" for day in days)
    yield from (f"/years/{year}" for year in sorted({day[:4] for day in days}))


def fresh(stack: Any, path: str) -> str:
    """Render a page without the cache: a request with content is the app's alone."""
    reply = stack.http.request("GET", stack.bffs[0] + path, content=b"x")
    assert "detail=request" in reply.headers["cache-status"], reply.headers
    return str(reply.text)


def outbox(stack: Any) -> set[str]:
    """Return the ids of all events that were ever committed; each must have been published."""
    with psycopg.connect(stack.run["database_url"]) as connection:
        rows = connection.execute("SELECT event_id, published_at FROM outbox").fetchall()
    assert all(published is not None for _, published in rows)
    return {str(event_id) for event_id, _ in rows}


def receipts(stack: Any) -> dict[str, str]:
    """Return the stage of every receipt of the api's events, by id; an id twice is a failure."""
    found: dict[str, str] = {}
    cursor = ""
    while True:
        url = f"{stack.api}/api/v1/invalidations?source=api&limit=200{cursor}"
        page = stack.http.get(url, headers=stack.bearer("invalidations:read")).json()
        for receipt in page["receipts"]:
            assert receipt["id"] not in found
            found[receipt["id"]] = receipt.get("stage", "committed")
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def ids_in_log(stack: Any) -> list[str]:
    """Return the id of every event of the api in the log, in order."""

    async def read() -> list[str]:
        client = await connect(stack.run["nats_urls"]["api"], name="e2e")
        try:
            inbox, seq, more = client.new_inbox(), 0, True
            ids: list[str] = []
            answers = await client.subscribe(inbox)
            while more:
                ask = {"batch": BATCH, "seq": seq + 1, "next_by_subj": SUBJECT}
                subject = f"$JS.API.DIRECT.GET.{STREAM}"
                await client.publish(subject, json.dumps(ask).encode(), reply=inbox)
                more = False  # unless there is one; the last answer of a batch has no id
                while "ce-id" in (headers := (await answers.next_msg(timeout=5)).headers or {}):
                    ids.append(str(headers["ce-id"]))
                    seq, more = int(headers["Nats-Sequence"]), True
            return ids
        finally:
            await close(client)

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("name", "factor"), [(name, 1.01 + 0.01 * i) for i, name in enumerate(PARTS)]
)
def test_killed_in_the_middle_of_a_replay(
    year: Any, eventually: Any, name: str, factor: float
) -> None:
    """After kill -9 of a part during 60 writes all pages are right, all events have a receipt."""
    stack, days = year
    every = list(paths(stack, days))
    for path in every:
        for bff in (0, 1):
            assert stack.page(path, bff).status_code == 200
    replay = Replay(stack, days, factor)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(replay.run)
        assert replay.half.wait(WRITE_TIMEOUT_S)
        before = stack.pid(name)
        stack.signal(name, signal.SIGKILL)
        running.result()
    eventually(lambda: stack.pid(name) not in {0, before})
    eventually(stack.healthy)

    assert len(set(replay.events)) == DAYS
    # Each look reads every receipt there is.
    eventually(lambda: set(receipts(stack).values()) <= DONE, poll_s=0.25)
    known = set(receipts(stack))
    logged = ids_in_log(stack)
    assert set(replay.events) <= known
    assert outbox(stack) == known == set(logged)
    assert len(logged) == len(set(logged))

    for path in every:
        right = fresh(stack, path)
        for bff in (0, 1):
            eventually(lambda path=path, bff=bff, right=right: stack.page(path, bff).text == right)
    letters = stack.http.get(
        f"{stack.run['urls']['revalidator']}/api/v1/dead-letters",
        headers=stack.bearer("dead-letters", audience="revalidator"),
    )
    assert letters.raise_for_status().json()["dead_letters"] == []

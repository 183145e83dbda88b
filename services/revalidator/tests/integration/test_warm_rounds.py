"""Rounds of warming against a BFF over HTTP, with receipts on a real broker."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Self

import msgspec
import pytest
from asgi_isr.events import Invalidation
from asgi_isr.nats import Link
from asgi_isr.ports import SystemClock
from asgi_isr.reports import POPULAR_PAGES_MAX, PopularPage, PopularPages
from asgi_isr.testing import eventually
from perfcheck_chassis.http_client import ServiceClient
from perfcheck_chassis.identity import TokenKeys
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import WarmedPage, WarmResult, WarmWrite
from perfcheck_embedded import Servers
from perfcheck_revalidator.metrics import Metrics
from perfcheck_revalidator.warming.popularity import Popularity
from perfcheck_revalidator.warming.rounds import Warmer
from perfcheck_revalidator.work.original import Event, Original
from perfcheck_revalidator.work.receipts import Receipts

pytestmark = pytest.mark.integration

KEYS = TokenKeys(Secret("k" * 32))


class Bff:
    """A BFF that renders what it is asked for, whose token it accepts; frozen it never answers."""

    def __init__(self, *, frozen: bool = False) -> None:
        self.asked: list[WarmWrite] = []
        self.url = ""
        self._frozen = frozen

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                [size] = re.findall(r"content-length: (\d+)", head, re.IGNORECASE)
                [token] = re.findall(r"authorization: Bearer (\S+)", head, re.IGNORECASE)
                asked = msgspec.json.decode(await reader.readexactly(int(size)), type=WarmWrite)
                KEYS.verify(token, audience="frontend-bff", scope="cache:warm")
                self.asked.append(asked)
                if self._frozen:
                    await reader.read()
                    return
                pages = [WarmedPage(path=path, status=200, cache_status="") for path in asked.paths]
                body = msgspec.json.encode(WarmResult(pages=pages))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def event(seq: int) -> Event:
    """Return an event of the shop."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    original = Original(seq, "cache.invalidations.v1.shop", {"ce-id": f"id-{seq}"}, b"{}", at)
    return Event(original, Invalidation(tags=("a",)))


def told(instance: str, seq: int, **hits: int) -> bytes:
    """Return an instance's message about what an event hit."""
    pages = [PopularPage(path=f"/{name}", hits=count) for name, count in hits.items()]
    return msgspec.json.encode(PopularPages(instance=instance, seq=seq, pages=pages))


@pytest.fixture
async def rounds(running: Servers) -> AsyncIterator[Callable[..., Any]]:
    """Give a function that runs a warmer for a BFF, and returns it with what instances told."""
    async with AsyncExitStack() as stack:
        link = Link(running.nats_urls["revalidator"], name="test")
        stack.push_async_callback(link.close)

        async def start(bff: Bff, budget_s: float) -> tuple[Warmer, Popularity]:
            await stack.enter_async_context(bff)
            client = ServiceClient(
                bff.url, neighbour="frontend-bff", timeout_s=5, connections_max=4
            )
            await stack.enter_async_context(client)
            popularity = Popularity(SystemClock())
            warmer = Warmer(
                client, popularity, Receipts(link, SystemClock()),
                issue_token=lambda: KEYS.issue(
                    subject="test", audience="frontend-bff", scopes=["cache:warm"]
                ),
                metrics=Metrics(), clock=SystemClock(), concurrency=4, budget_s=budget_s,
            )  # fmt: skip
            task = asyncio.ensure_future(warmer.run())

            async def end() -> None:
                task.cancel()
                await asyncio.wait([task], timeout=5)

            stack.push_async_callback(end)
            return warmer, popularity

        yield start


async def warmed(receiver: Any, event_id: str) -> Any:
    """Wait for the part of a receipt that tells of pages."""
    return await eventually(
        lambda: getattr(receiver.receipts.get(event_id), "warmed", None), timeout_s=15
    )


async def test_events_in_flight_ask_once_for_each_page(
    rounds: Callable[..., Any], receiver: Any
) -> None:
    """The most popular page comes first, each comes once, all under the last event of the chunk."""
    bff = Bff()
    warmer, popularity = await rounds(bff, 5.0)
    popularity.note(told("one", 1, rare=1, board=5))
    popularity.note(told("two", 1, board=5, pair=3))
    popularity.note(told("one", 2, board=1))
    warmer.submit([event(1), event(2)])
    assert (await warmed(receiver, "id-1")).pages == 3
    assert (await warmed(receiver, "id-2")).pages == 1
    [asked] = bff.asked
    assert (asked.seq, asked.paths) == (2, ["/board", "/pair", "/rare"])


async def test_a_frozen_bff_costs_its_time_and_no_more(
    rounds: Callable[..., Any], receiver: Any
) -> None:
    """Pages of a BFF that does not answer have failed once the time is over; the next are asked."""
    bff = Bff(frozen=True)
    warmer, popularity = await rounds(bff, 0.3)
    popularity.note(told("one", 1, board=1))
    warmer.submit([event(1)])
    counted = await warmed(receiver, "id-1")
    assert (counted.pages, counted.failed, counted.left) == (0, 1, 0)
    assert warmer.unhealthy_reason is not None
    popularity.note(told("one", 2, board=1))
    warmer.submit([event(2)])
    assert (await warmed(receiver, "id-2")).failed == 1


async def test_more_pages_than_time_are_left(rounds: Callable[..., Any], receiver: Any) -> None:
    """What the time does not allow is counted as left: four requests of twenty pages began."""
    warmer, popularity = await rounds(Bff(frozen=True), 0.3)
    for start in range(0, 100, POPULAR_PAGES_MAX):
        numbers = range(start, start + POPULAR_PAGES_MAX)
        popularity.note(told(f"from-{start}", 1, **{f"page-{number}": 1 for number in numbers}))
    warmer.submit([event(1)])
    counted = await warmed(receiver, "id-1")
    assert (counted.pages, counted.failed, counted.left) == (0, 80, 20)

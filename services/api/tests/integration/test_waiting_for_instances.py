"""Waiting until a write is applied: real NATS, the real relay, and page caches in this process."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any

import pytest
from asgi_isr import CacheSettings, PageCache
from asgi_isr.logs.nats import NatsLog
from asgi_isr.ports import LogMessage
from asgi_isr.reports import INSTANCES_STREAM, Report
from asgi_isr.testing import eventually, ready
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from perfcheck_embedded import Servers, servers

USD = {"tags": ["currency:usd"]}
LIMIT_S = 25  # the longest that one may wait: who is woken by what he waits for never does
DAY = "/days/2020-05-04"
RATES = {"rates": {"USD": 1.1}}


class HeldLog(NatsLog):
    """A log whose messages do not come while `gate` is not set: a frozen link."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Yield what comes, once the gate is open."""
        async with aclosing(super().read(after)) as batches:
            async for batch in batches:
                await self.gate.wait()
                yield batch


@pytest.fixture
async def nobody(js: JetStreamContext) -> None:
    """Forget the instances of earlier tests."""
    with suppress(NotFoundError):
        await js.delete_stream(INSTANCES_STREAM)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Give a stack that the test opens instances on."""
    async with AsyncExitStack() as opened:
        yield opened


async def _instance(stack: AsyncExitStack, url: str, name: str) -> HeldLog:
    log = HeldLog(url)
    cache = PageCache(CacheSettings(instance=name, lease_s=2.0), log=log)
    await stack.enter_async_context(cache)
    await ready(cache, timeout_s=20)
    return log


def plain(names: Iterable[str]) -> set[str]:
    """Return the names as they were wanted: without what tells one life of them from the next."""
    return {name.rpartition("-")[0] or name for name in names}


async def _observed(client: Any, *names: str) -> None:
    """Wait until the app knows exactly these instances."""

    async def known() -> bool:
        answer = await client.post("/invalidations?wait=applied&timeout_s=2", USD)
        applied = answer.json()["applied"]
        return "unknown" not in applied and plain(applied["each"]) == set(names)

    await eventually(known, timeout_s=20)


@pytest.mark.usefixtures("nobody")
async def test_a_write_waits_for_every_real_instance(
    stack: AsyncExitStack, running: Servers, schema_url: str, open_client: Any
) -> None:
    """Invalidations and days name both instances, once the slower one has applied them."""
    async with open_client(schema_url) as client:
        for name in ("one", "two"):
            await _instance(stack, running.nats_url, name)
        await _observed(client, "one", "two")
        for _ in range(5):
            started = time.monotonic()
            async with asyncio.timeout(LIMIT_S):
                answer = await client.post(f"/invalidations?wait=applied&timeout_s={LIMIT_S}", USD)
            took_ms = 1000 * (time.monotonic() - started)
            assert answer.status == 202
            applied = answer.json()["applied"]
            assert applied.keys() == {"instances", "min_ms", "p50_ms", "max_ms", "each"}
            assert plain(applied["each"]) == {"one", "two"}
            assert took_ms >= applied["max_ms"]
        for write in (client.put, client.patch):
            answer = await write(f"{DAY}?wait=applied", RATES)
            assert answer.status in {200, 201}
            assert plain(answer.json()["applied"]["each"]) == {"one", "two"}
        assert "applied" not in (await client.put(DAY, RATES)).json()
        refused = await client.put(f"{DAY}?wait=applied&timeout_s=26", RATES)
        assert (refused.status, refused.json()["errors"][0]["field"]) == (400, "timeout_s")


@pytest.mark.usefixtures("nobody")
async def test_a_frozen_instance_is_missing_until_it_goes_on(
    stack: AsyncExitStack, running: Servers, schema_url: str, open_client: Any
) -> None:
    """The answer comes at the time limit and names it; once it goes on, nobody is missing."""
    async with open_client(schema_url) as client:
        await _instance(stack, running.nats_url, "prompt")
        log = await _instance(stack, running.nats_url, "frozen")
        await _observed(client, "prompt", "frozen")
        log.gate.clear()
        answer = await client.post("/invalidations?wait=applied&timeout_s=0.5", USD)
        log.gate.set()
        assert answer.status == 202
        assert plain(answer.json()["applied"]["missing"]) == {"frozen"}
        assert plain(answer.json()["applied"]["each"]) == {"prompt"}
        await _observed(client, "prompt", "frozen")


@pytest.mark.usefixtures("nobody")
async def test_a_dead_instance_is_waited_for_until_its_lease_is_over(
    stack: AsyncExitStack, running: Servers, schema_url: str, open_client: Any
) -> None:
    """It is missing first, then vanished: it serves nothing that it had before."""
    async with open_client(schema_url) as client:
        await _instance(stack, running.nats_url, "one")
        await _observed(client, "one")
        dead = NatsLog(running.nats_url)
        await dead.register(Report(instance="dead", position=1, lease_s=2.0))
        await dead.close()
        missing: list[str] = []

        async def known() -> bool:
            answer = await client.post("/invalidations?wait=applied&timeout_s=0.2", USD)
            missing.extend(answer.json()["applied"].get("missing", []))
            return bool(missing)

        await eventually(known, timeout_s=20)
        assert set(missing) == {"dead"}
        answer = await client.post("/invalidations?wait=applied&timeout_s=20", USD)
        applied = answer.json()["applied"]
        assert applied["vanished"] == ["dead"]
        assert "missing" not in applied
        assert plain(applied["each"]) == {"one"}


async def test_without_nats_the_answer_says_that_nothing_is_known(
    stack: AsyncExitStack, schema_url: str, open_client: Any, fetch: Any
) -> None:
    """The event is committed: 202 at the time limit, everybody missing, and the reason."""
    with servers(postgres=False, valkey=False) as own:
        async with open_client(schema_url, nats_url=own.nats_urls["api"]) as client:
            await _instance(stack, own.nats_url, "one")
            await _observed(client, "one")
            await own.kill("nats")
            before = len(fetch(schema_url, "SELECT id FROM outbox"))
            answer = await client.post("/invalidations?wait=applied&timeout_s=1", USD)
            assert answer.status == 202
            applied = answer.json()["applied"]
            assert (applied["instances"], plain(applied["missing"])) == (0, {"one"})
            assert applied["unknown"]
            assert len(fetch(schema_url, "SELECT id FROM outbox")) == before + 1
            await own.restart("nats")
            await _observed(client, "one")
        await stack.aclose()

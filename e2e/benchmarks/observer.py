"""What the benchmarks hold of a running stack: its database, its log, its live set, its api."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import httpx
import psycopg
from asgi_isr.events import STREAM
from asgi_isr.logs.nats import Instances, close, connect
from asgi_isr.testing import eventually
from nats.js import JetStreamContext
from perfcheck import environment
from perfcheck.stack import tokens
from perfcheck.stack.state import Run

SUBJECT = "cache.invalidations.v1.api"
_JOIN_S = 30.0

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class Observed(NamedTuple):
    """Open connections to everything that is looked at."""

    run: Run
    instances: Instances
    writers: list[Connection]
    js: JetStreamContext
    http: httpx.AsyncClient

    async def events_in_log(self) -> int:
        """Return how many events of the api the log holds."""
        info = await self.js.stream_info(STREAM, subjects_filter=SUBJECT)
        return (info.state.subjects or {}).get(SUBJECT, 0)

    async def rejoins(self) -> list[int]:
        """Return how often each instance had to begin again, which would hide a lost event."""
        replies = [await self.http.get(f"{url}/api/cache") for url in self.run.urls.bff]
        return [reply.json()["counters"]["rejoins"] for reply in replies]


@asynccontextmanager
async def observing(run: Run, *, instances: int) -> AsyncGenerator[Observed, None]:
    """Connect, and wait until all instances are live."""
    async with AsyncExitStack() as stack:
        watcher = Instances(run.nats_urls["api"], name="benchmark")
        group = await stack.enter_async_context(asyncio.TaskGroup())
        watching = group.create_task(watcher.run())
        stack.callback(watching.cancel)
        writers = []
        for _ in range(2):
            writer = await psycopg.AsyncConnection.connect(run.database_url, autocommit=True)
            stack.push_async_callback(writer.close)
            writers.append(writer)
        client = await connect(run.nats_urls["api"], name="benchmark")
        stack.push_async_callback(close, client)
        token = tokens.mint(
            run.token_key,
            subject="benchmark",
            audience="api",
            scopes=("invalidations:write", "invalidations:read"),
            lifetime_s=3600,
            now_s=environment.utc_now().timestamp(),
        )
        http = await stack.enter_async_context(
            httpx.AsyncClient(timeout=30, headers={"Authorization": f"Bearer {token}"})
        )
        await eventually(lambda: len(watcher.reports()) >= instances, timeout_s=_JOIN_S)
        yield Observed(run, watcher, writers, client.jetstream(), http)

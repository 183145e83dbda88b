"""How fast events go from the outbox to the log: `python services/api/benchmarks/outbox.py`.

A real PostgreSQL and a real NATS on disk, and the relay in a process of its own. Prints medians
over rounds, with their range:

- *catch up*: rows that were committed at once, until the log and the outbox have them all;
- *sustained*: rows written in batches while the relay publishes them;
- *commit to acknowledged*: single rows at a steady rate, from the return of the commit until the
  log's answer is on record, by the clock of this machine.
"""

import argparse
import asyncio
import multiprocessing
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from asgi_isr.events import Invalidation
from asgi_isr.logs.nats import close
from asgi_isr.logs.nats import connect as connect_to_nats
from perfcheck_api import outbox
from perfcheck_api.clock import wall_s
from perfcheck_api.db import Connection, connect
from perfcheck_api.migrations.migrate import migrate, packaged
from perfcheck_api.outbox.metrics import RelayMetrics
from perfcheck_api.outbox.relay import Relay
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import median, percentile
from perfcheck_embedded import servers
from prometheus_client import CollectorRegistry

EVENTS = 10_000
BATCH = 250
RATE_PER_S = 50.0
STEADY_EVENTS = 500
LIMIT_S = 60.0
_POLL_S = 0.005


class Figures(NamedTuple):
    """What one round found."""

    catch_up_per_s: float
    catch_up_cpu_us: float
    sustained_per_s: float
    sustained_cpu_us: float
    p50_ms: float
    p99_ms: float
    steady_cpu_us: float


def _relay(database_url: str, nats_url: str) -> None:
    relay = Relay(
        Secret(database_url),
        nats_url,
        name="benchmark",
        metrics=RelayMetrics(CollectorRegistry()),
    )
    uvloop.run(relay.run())


class Bench:
    """The outbox, and the process that publishes it."""

    def __init__(self, connection: Connection, relay_pid: int) -> None:
        self._connection = connection
        self._stat = Path(f"/proc/{relay_pid}/stat")

    async def round(self) -> Figures:
        """Measure everything once."""
        catch_up = await self._measured(self._at_once)
        sustained = await self._measured(self._in_batches)
        before_s = self._cpu_s()
        lags_ms = await self._steadily()
        cpu_us = (self._cpu_s() - before_s) / len(lags_ms) * 1e6
        return Figures(
            *catch_up,
            *sustained,
            median(lags_ms),
            percentile(lags_ms, 0.99),
            cpu_us,
        )

    async def published(self) -> None:
        """Wait until nothing is left to publish; `TimeoutError` after `LIMIT_S`."""
        async with asyncio.timeout(LIMIT_S):
            while await self._waiting():  # noqa: ASYNC110  another process publishes
                await asyncio.sleep(_POLL_S)

    async def _waiting(self) -> bool:
        left = "SELECT FROM outbox WHERE published_at IS NULL LIMIT 1"
        return (await self._connection.execute(left)).rowcount > 0

    async def append(self, count: int) -> list[outbox.Appended]:
        """Write a batch."""
        events = [
            Invalidation(tags=(f"currency:{number}", f"day:{number}", "latest"), reason="written")
            for number in range(count)
        ]
        return await outbox.append_many(self._connection, events)

    async def _measured(self, write: Callable[[], Awaitable[float]]) -> tuple[float, float]:
        """Return events a second since the time that `write` gives, and CPU for each in µs."""
        before_s = self._cpu_s()
        started = await write()
        await self.published()
        took_s = time.perf_counter() - started
        return EVENTS / took_s, (self._cpu_s() - before_s) / EVENTS * 1e6

    async def _at_once(self) -> float:
        async with self._connection.transaction():
            for _ in range(EVENTS // BATCH):
                await self.append(BATCH)
        return time.perf_counter()

    async def _in_batches(self) -> float:
        started = time.perf_counter()
        for _ in range(EVENTS // BATCH):
            await self.append(BATCH)
        return started

    async def _steadily(self) -> list[float]:
        committed: dict[int, float] = {}
        start = time.perf_counter()
        for number in range(STEADY_EVENTS):
            await asyncio.sleep(max(0.0, start + number / RATE_PER_S - time.perf_counter()))
            [row] = await self.append(1)
            committed[row.source_seq] = wall_s()
        await self.published()
        cursor = await self._connection.execute(
            "SELECT id, extract(epoch FROM published_at)::float8 FROM outbox WHERE id >= %s",
            (min(committed),),
        )
        return [(at - committed[number]) * 1e3 for number, at in await cursor.fetchall()]

    def _cpu_s(self) -> float:
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _no_delay(database_url: str, nats_url: str) -> dict[str, bool]:
    """Return whether small messages leave at once, for the sockets that the relay uses."""
    client = await connect_to_nats(nats_url, name="benchmark")
    transport: Any = client._transport  # noqa: SLF001  no other way to its socket
    of_nats = transport._io_writer.get_extra_info("socket")  # noqa: SLF001  nor here
    found = {"NATS": bool(of_nats.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))}
    await close(client)
    async with connect(Secret(database_url), name="benchmark", statement_timeout_s=5) as connection:
        with socket.socket(fileno=os.dup(connection.fileno())) as of_postgres:
            option = of_postgres.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            found["PostgreSQL"] = bool(option)
    return found


async def _run(database_url: str, rounds: int, relay_pid: int) -> list[Figures]:
    async with connect(
        Secret(database_url), name="benchmark", statement_timeout_s=LIMIT_S
    ) as connection:
        bench = Bench(connection, relay_pid)
        await bench.append(1)
        await bench.published()
        return [await bench.round() for _ in range(rounds)]


async def _prepare(database_url: str, nats_url: str) -> dict[str, bool]:
    async with connect(
        Secret(database_url), name="benchmark", statement_timeout_s=LIMIT_S
    ) as connection:
        await migrate(connection, packaged())
    return await _no_delay(database_url, nats_url)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with servers(valkey=False) as running:
        nats_url = running.nats_urls["api"]
        no_delay = asyncio.run(_prepare(running.database_url, nats_url))
        relay = multiprocessing.get_context("spawn").Process(
            target=_relay, args=(running.database_url, nats_url)
        )
        relay.start()
        try:
            found = uvloop.run(_run(running.database_url, rounds, relay.pid or 0))
        finally:
            relay.kill()
            relay.join()
    print(f"== outbox to log, {rounds} rounds, {os.cpu_count()} CPUs; median (lowest to highest)")
    for name in Figures._fields:
        values = [getattr(figures, name) for figures in found]
        low, middle, high = min(values), median(values), max(values)
        print(f"{name:<18} {middle:>10,.2f}  ({low:,.2f} to {high:,.2f})")
    print(f"TCP_NODELAY: {no_delay}")


if __name__ == "__main__":
    main()

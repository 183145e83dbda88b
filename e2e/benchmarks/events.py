"""The three measurements; each prints its rounds and their median."""

import asyncio
import base64
import json
import time

from asgi_isr.coherence import Reached
from perfcheck_contracts import median, percentile

from e2e.benchmarks.observer import SUBJECT, Connection, Observed

APPLY_TIMEOUT_S = 10.0
DRAIN_TIMEOUT_S = 120.0
BATCH_ROWS = 100
WAITS = 100
_PAYLOAD = b'{"tags":["benchmark:%d","benchmark:all"]}'
_APPEND = "INSERT INTO outbox (subject, payload) VALUES (%s, %s) RETURNING id"
_APPEND_MANY = "INSERT INTO outbox (subject, payload) SELECT %s, unnest(%s::bytea[]) RETURNING id"


async def latency(observed: Observed, rounds: int, round_s: float, rate: float) -> None:
    """Print commit → applied everywhere in milliseconds; the first round only warms up."""
    count = len(observed.run.urls.bff)
    print(f"commit -> applied on all of {count} instances, {rate:g} events/s, ms")
    p50s, p99s = [], []
    for number in range(rounds + 1):
        times = await _round(observed, int(round_s * rate), rate)
        p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
        print(f"  round {number or 'w'}: p50 {p50:5.2f}  p99 {p99:6.2f}  max {max(times):6.2f}")
        if number:
            p50s.append(p50)
            p99s.append(p99)
    print(f"  median of {rounds} rounds: p50 {median(p50s):.2f} ms, p99 {median(p99s):.2f} ms")


async def _round(observed: Observed, events: int, rate: float) -> list[float]:
    start = time.monotonic()
    locks = [asyncio.Lock() for _ in observed.writers]

    async def one(number: int) -> float:
        await asyncio.sleep(start + number / rate - time.monotonic())
        writer = number % len(locks)
        async with locks[writer]:
            last = await _append(observed.writers[writer], number)
        committed = time.monotonic()
        applied = await observed.instances.wait(Reached("api", last), APPLY_TIMEOUT_S)
        if not applied.everywhere:
            raise RuntimeError(f"event {last} was not applied everywhere: {applied}")
        return max(0.0, max(applied.times.values()) - committed) * 1000

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(events)]
    return [task.result() for task in tasks]


async def _append(writer: Connection, number: int) -> int:
    row = await (await writer.execute(_APPEND, (SUBJECT, _PAYLOAD % number))).fetchone()
    if row is None:
        raise RuntimeError("INSERT gave no row")
    return int(row[0])


async def throughput(observed: Observed, rounds: int, events: int) -> int:
    """Print events/s from the first commit to the last instance; return how many were lost."""
    count = len(observed.run.urls.bff)
    print(f"outbox -> relay -> log -> {count} instances, {events} events of {BATCH_ROWS} a commit")
    rates, lost_all = [], 0
    for number in range(rounds):
        before, rejoins = await observed.events_in_log(), await observed.rejoins()
        start = time.monotonic()
        last = await _fill(observed.writers[0], events)
        committed_s = time.monotonic() - start
        applied = await observed.instances.wait(Reached("api", last), DRAIN_TIMEOUT_S)
        took_s = time.monotonic() - start
        lost = before + events - await observed.events_in_log()
        again = sum(await observed.rejoins()) - sum(rejoins)
        lost_all += lost + again + len(applied.missing)
        rates.append(events / took_s)
        print(
            f"  round {number + 1}: {events / took_s:6.0f} events/s"
            f" (committed after {committed_s:.1f} s), lost {lost}, rejoins {again},"
            f" missing {len(applied.missing)}"
        )
    print(f"  median of {rounds} rounds: {median(rates):.0f} events/s, lost {lost_all}")
    return lost_all


async def _fill(writer: Connection, events: int) -> int:
    last = 0
    for first in range(0, events, BATCH_ROWS):
        payloads = [_PAYLOAD % number for number in range(first, min(first + BATCH_ROWS, events))]
        cursor = await writer.execute(_APPEND_MANY, (SUBJECT, payloads))
        last = max(int(row[0]) for row in await cursor.fetchall())
    return last


async def wait_overhead(observed: Observed, rounds: int) -> None:
    """Print how long after the slowest instance `?wait=applied` is answered, in milliseconds."""
    url = f"{observed.run.urls.api}/api/v1/invalidations?wait=applied&timeout_s=10"
    print("POST ?wait=applied: answer after the slowest instance had applied it, ms")
    p50s, totals = [], []
    for number in range(rounds + 1):
        added, total = [], []
        for index in range(WAITS):
            start = time.monotonic()
            reply = await observed.http.post(url, json={"tags": [f"benchmark:{index}"]})
            answered = time.monotonic()
            token = reply.raise_for_status().json()["consistency_token"]
            applied = await observed.instances.wait(Reached("api", _number(token)), 1.0)
            added.append(max(0.0, answered - max(applied.times.values())) * 1000)
            total.append((answered - start) * 1000)
        print(
            f"  round {number or 'w'}: added p50 {median(added):.2f}, call p50 {median(total):.2f}"
        )
        if number:
            p50s.append(median(added))
            totals.append(median(total))
    print(f"  median of {rounds} rounds: added {median(p50s):.2f} ms, call {median(totals):.2f} ms")


def _number(token: str) -> int:
    """Return the outbox id that a consistency token names."""
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return int(str(claims["sub"]).partition(":")[2])

"""`perfcheck replay`: write the last business days again, one by one, through the API.

This is the real workload of invalidations: each day changes some thirty currencies. The writes
start at the given rate whether or not earlier ones are done (open loop), a bounded number at once.
"""

import asyncio

import msgspec

from perfcheck import environment
from perfcheck.check.statistics import percentile
from perfcheck.concurrent import together
from perfcheck.console import Console
from perfcheck.exits import TargetError
from perfcheck.http import Http

CONCURRENCY_MAX = 16
CALL_TIMEOUT_S = 10.0
GRACE_S = 30.0
ERRORS_SHOWN_MAX = 3


class _Rate(msgspec.Struct):
    code: str
    rate: float


class _Day(msgspec.Struct):
    day: str
    rates: list[_Rate]
    previous: str | None = None


class Tally(msgspec.Struct, kw_only=True):
    """What has come of the writes so far."""

    written: int = 0
    times_ms: list[float] = []
    errors: list[str] = []


async def replay(api: str, console: Console, *, days: int, rate_per_s: float) -> None:
    """Write the last `days` days again, oldest first, and print a summary.

    Raises:
        TargetError: when any write failed, or they were not done in time; the rest is done first.

    """
    async with Http(timeout_s=CALL_TIMEOUT_S) as http:
        wanted = await last_days(http, api, days)
        tally = Tally()
        start_s = environment.monotonic_s()
        limit_s = len(wanted) / rate_per_s + GRACE_S
        try:
            async with asyncio.timeout(limit_s):
                await _write_all(
                    http, api, wanted, rate_per_s=rate_per_s, tally=tally, console=console
                )
        except TimeoutError:
            tally.errors.append(f"not done within {limit_s:.0f} s")
    console.end_rewrite()
    took_s = environment.monotonic_s() - start_s
    console.data(summary(tally, of=len(wanted), took_s=took_s))
    if tally.errors:
        shown = "; ".join(tally.errors[:ERRORS_SHOWN_MAX])
        raise TargetError(f"{len(tally.errors)} writes failed: {shown}")


def summary(tally: Tally, *, of: int, took_s: float) -> str:
    """Return one line: days, rate, errors, and how long a write took."""
    line = (
        f"{tally.written}/{of} days written in {took_s:.1f} s "
        f"({tally.written / took_s:.1f} events/s), {len(tally.errors)} errors"
    )
    if tally.times_ms:
        middle, high = (percentile(tally.times_ms, share) for share in (0.5, 0.99))
        line += f", write p50 {middle:.1f} ms, p99 {high:.1f} ms"
    return line


async def last_days(http: Http, api: str, count: int) -> list[_Day]:
    """Return the last `count` days that have rates (or as many as there are), oldest first.

    Raises:
        TargetError: when the API does not answer or has no data.

    """
    found: list[_Day] = []
    name: str | None = "latest"
    while name is not None and len(found) < count:
        day = (await http.get(f"{api}/api/v1/days/{name}")).expect(200).read(_Day)
        found.append(day)
        name = day.previous
    return found[::-1]


async def _write_all(
    http: Http,
    api: str,
    days: list[_Day],
    *,
    rate_per_s: float,
    tally: Tally,
    console: Console,
) -> None:
    gate = asyncio.Semaphore(CONCURRENCY_MAX)
    start_s = environment.monotonic_s()

    async def write(number: int, day: _Day) -> None:
        await asyncio.sleep(start_s + number / rate_per_s - environment.monotonic_s())
        since_s = environment.monotonic_s()  # waiting for a free place is part of the time
        async with gate:
            rates = {rate.code: rate.rate for rate in day.rates}
            try:
                reply = await http.put(f"{api}/api/v1/days/{day.day}", {"rates": rates})
                reply.expect(200, 201)
            except TargetError as error:
                tally.errors.append(str(error))
                return
        tally.written += 1
        tally.times_ms.append((environment.monotonic_s() - since_s) * 1000)
        took_s = environment.monotonic_s() - start_s
        console.rewrite(
            f"{tally.written}/{len(days)} days, {tally.written / took_s:.1f} events/s, "
            f"{len(tally.errors)} errors"
        )

    await together(write(number, day) for number, day in enumerate(days))

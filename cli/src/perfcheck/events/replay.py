"""`perfcheck replay`: write the last business days again, one by one, through the API.

This is the real workload of invalidations: each day changes some thirty currencies. The writes
start at the given rate whether or not earlier ones are done (open loop), a bounded number at once.
Meanwhile their receipts are read, which tell when each event was applied everywhere.
"""

import asyncio

import msgspec
from perfcheck_contracts import Day, percentile

from perfcheck import environment
from perfcheck.api import API_CALL_S_MAX, Api
from perfcheck.concurrent import together, unless
from perfcheck.console import Console
from perfcheck.events.propagation import Propagation
from perfcheck.exits import TargetError
from perfcheck.http import Http
from perfcheck.stack.state import Service

CONCURRENCY_MAX = 16
WRITES_GRACE_S = 30.0
SETTLE_S = 60.0  # longer than a task that vanished is waited for
ERRORS_SHOWN_MAX = 3
MISSING_SHOWN_MAX = 20


class Tally(msgspec.Struct, kw_only=True):
    """What has come of the writes so far."""

    written: int = 0
    times_ms: list[float] = []
    errors: list[str] = []


async def replay(service: Service, console: Console, *, days: int, rate_per_s: float) -> None:
    """Write the last `days` days again, oldest first, and print a summary.

    Then wait until each of their events is applied everywhere, as its receipt tells.

    Raises:
        WrongUsageError: there is no token for the writes.
        TargetError: when any write failed, or they did not finish in time, or an event was not
            applied everywhere in time; the rest is done first.

    """
    service.tokens.headers("api", "rates:write")  # without a token nothing is begun
    tally = Tally()
    async with Http(timeout_s=API_CALL_S_MAX) as http:
        wanted = await last_days(http, service.url, days)
        api = Api(http, service)
        propagation = Propagation(api)
        start_s = environment.monotonic_s()
        limit_s = len(wanted) / rate_per_s + WRITES_GRACE_S
        writes = _Writes(api, wanted, tally, propagation, console)
        try:
            async with asyncio.timeout(limit_s):
                await unless(propagation.follow, lambda: writes.all(rate_per_s))
        except TimeoutError:
            tally.errors.append(f"not finished within {limit_s:.0f} s")
        console.end_rewrite()
        took_s = environment.monotonic_s() - start_s
        console.data(summary(tally, of=len(wanted), took_s=took_s))
        if propagation.expected:
            await propagation.settle(SETTLE_S)
            console.data(propagation.text())
    if problem := failure(tally.errors, propagation):
        raise TargetError(problem)


def failure(errors: list[str], propagation: Propagation) -> str:
    """Return what went wrong, with the ids of events that did not get everywhere; "" if nothing."""
    problems = []
    if errors:
        shown = "; ".join(errors[:ERRORS_SHOWN_MAX])
        problems.append(f"{len(errors)} writes failed: {shown}")
    if missing := propagation.missing():
        lines = missing[:MISSING_SHOWN_MAX]
        if len(missing) > len(lines):
            lines.append(f"and {len(missing) - len(lines)} more")
        if propagation.last_error:
            lines.append(propagation.last_error)
        told = "\n  ".join(lines)
        problems.append(f"{len(missing)} events are not known to be applied everywhere:\n  {told}")
    return "; ".join(problems)


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


async def last_days(http: Http, api: str, count: int) -> list[Day]:
    """Return the last `count` days that have rates (or as many as there are), oldest first.

    Raises:
        TargetError: when the API does not answer or has no data.

    """
    found: list[Day] = []
    name: str | None = "latest"
    while name is not None and len(found) < count:
        day = (await http.get(f"{api}/api/v1/days/{name}")).expect(200).read(Day)
        found.append(day)
        name = None if day.previous is None else day.previous.isoformat()
    return found[::-1]


class _Writes:
    """The writes under way."""

    def __init__(
        self,
        api: Api,
        days: list[Day],
        tally: Tally,
        propagation: Propagation,
        console: Console,
    ) -> None:
        self._api = api
        self._days = days
        self._tally = tally
        self._propagation = propagation
        self._console = console
        self._gate = asyncio.Semaphore(CONCURRENCY_MAX)
        self._start_s = environment.monotonic_s()

    async def all(self, rate_per_s: float) -> None:
        """Write every day, each when its time has come."""
        await together(self._one(number / rate_per_s, day) for number, day in enumerate(self._days))

    async def _one(self, after_s: float, day: Day) -> None:
        await asyncio.sleep(self._start_s + after_s - environment.monotonic_s())
        since_s = environment.monotonic_s()  # waiting for a free place is part of the time
        async with self._gate:
            name, rates = day.day.isoformat(), {rate.code: rate.rate for rate in day.rates}
            try:
                written = await self._api.write_day(name, rates)
            except TargetError as error:
                self._tally.errors.append(str(error))
                return
        self._propagation.expect(written.event_id, name)
        self._tally.written += 1
        self._tally.times_ms.append((environment.monotonic_s() - since_s) * 1000)
        self._console.rewrite(self._progress())

    def _progress(self) -> str:
        tally, took_s = self._tally, environment.monotonic_s() - self._start_s
        line = (
            f"{tally.written}/{len(self._days)} days, {tally.written / took_s:.1f} events/s, "
            f"{len(tally.errors)} errors"
        )
        told = self._propagation.last_error or self._propagation.summary
        return f"{line}, {told}" if told else line

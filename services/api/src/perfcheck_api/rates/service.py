"""Use cases of the rates. Every answer comes with the cache tags of what it was made of.

It knows neither Litestar nor the driver; today's date is given as a function.
"""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

import msgspec
from asgi_isr.events import Invalidation
from perfcheck_contracts import (
    BASE_CURRENCY,
    Currency,
    CurrencyList,
    Day,
    History,
    Pair,
    WriteResult,
    Year,
    YearList,
)

from perfcheck_api import outbox
from perfcheck_api.db import Database
from perfcheck_api.errors import NotFoundError
from perfcheck_api.rates import repository
from perfcheck_api.rates.missing import no_day, no_rates, no_year, unknown_currency
from perfcheck_api.rates.model import (
    CURRENCIES_TAG,
    FIRST_DAY,
    LATEST_TAG,
    YEARS_TAG,
    currency_tag,
    day_tag,
    write_tags,
    year_tag,
)

AnswerT = TypeVar("AnswerT")


class Tagged(NamedTuple, Generic[AnswerT]):
    """An answer, and the tags of all that it was made of."""

    answer: AnswerT
    tags: tuple[str, ...]


class Written(NamedTuple):
    """What a write left; `created` when the day had no rates before.

    `source_seq` is the place of its event in the outbox.
    """

    result: WriteResult
    created: bool
    source_seq: int


class RatesService:
    """Reads and writes reference rates.

    Every method raises `DatabaseUnavailableError` when PostgreSQL cannot answer; those that are
    asked for one thing raise `NotFoundError` where there is none. Ranges are inclusive, and open
    where None is given.
    """

    def __init__(self, database: Database, *, today: Callable[[], date]) -> None:
        self._database = database
        self._today = today

    async def currencies(self) -> Tagged[CurrencyList]:
        """Return every currency that has rates, by code."""
        found = await repository.currencies(self._database)
        return Tagged(CurrencyList(currencies=found), (CURRENCIES_TAG,))

    async def currency(self, code: str) -> Tagged[Currency]:
        """Return a currency's latest rate and its change."""
        found = await repository.currency(self._database, code)
        if found is None:
            raise unknown_currency(code, field="code")
        return Tagged(found, (currency_tag(code),))

    async def history(self, code: str, start: date | None, end: date | None) -> Tagged[History]:
        """Return a currency's rates from `start` to `end`."""
        found = await repository.history(self._database, code, start, end)
        if found is None or (not found.days and start is None and end is None):
            raise unknown_currency(code, field="code")
        days, rates = found
        return Tagged(
            History(
                currency=code,
                from_=start or (days[0] if days else FIRST_DAY),
                to=end or (days[-1] if days else self._today()),
                days=days,
                rates=rates,
            ),
            (currency_tag(code),),
        )

    async def pair(
        self, base: str, quote: str, start: date | None, end: date | None
    ) -> Tagged[Pair]:
        """Return the cross rate of two currencies, on the days on which both have a rate."""
        found = await repository.pair(self._database, base, quote, start, end)
        tags = (currency_tag(base), currency_tag(quote))
        if found is None:
            raise await self._unknown_of_pair(base, quote, tags)
        return Tagged(found, tags)

    async def _unknown_of_pair(self, base: str, quote: str, tags: tuple[str, ...]) -> NotFoundError:
        known = {BASE_CURRENCY, *await self.known_codes()}
        if base not in known:
            return unknown_currency(base, field="base", tags=tags)
        return unknown_currency(quote, field="quote", tags=tags)

    async def day(self, day: date) -> Tagged[Day]:
        """Return all rates of a day."""
        return await self._day(day, ())

    async def latest_day(self) -> Tagged[Day]:
        """Return all rates of the newest day."""
        day = await repository.latest_day(self._database)
        if day is None:
            raise no_rates()
        return await self._day(day, (LATEST_TAG,))

    async def _day(self, day: date, more_tags: tuple[str, ...]) -> Tagged[Day]:
        found = await repository.day(self._database, day)
        if not found.rates:
            error = no_day(day, today=self._today())
            error.tags += more_tags
            raise error
        tags = (day_tag(day), *more_tags)
        # The changes were made of the previous day's rates.
        return Tagged(found, tags if found.previous is None else (*tags, day_tag(found.previous)))

    async def years(self) -> Tagged[YearList]:
        """Return the years that have rates."""
        return Tagged(YearList(years=await repository.years(self._database)), (YEARS_TAG,))

    async def year(self, year: int) -> Tagged[Year]:
        """Return a year's rates summed up by currency."""
        found = await repository.year(self._database, year)
        if found is None:
            raise no_year(year)
        return Tagged(found, (year_tag(year),))

    async def known_codes(self) -> frozenset[str]:
        """Return the codes of all currencies that may have rates."""
        return await repository.known_codes(self._database)

    async def write_day(
        self,
        day: date,
        named: Mapping[str, Decimal | None],
        *,
        merge: bool,
        traceparent: str | None = None,
    ) -> Written:
        """Replace the rates of a day, or with `merge` change those named; announce it.

        Change and event are one transaction. With `merge` None removes a rate.
        """
        rates: Mapping[str, Decimal] = {
            code: rate for code, rate in named.items() if rate is not None
        }
        async with self._database.transaction() as connection:
            await repository.lock_writers(connection)
            old = await repository.codes_of_day(connection, day)
            near = await repository.neighbours(connection, day)
            removed = old & (named.keys() - rates.keys()) if merge else old - rates.keys()
            await repository.write(connection, day, rates=rates, removed=removed)
            tags = write_tags(
                day,
                named.keys() if merge else old | rates.keys(),
                neighbours=near,
                existed=bool(old),
                exists=bool(rates or old - removed),
            )
            event = Invalidation(tags=tags, reason=f"rates of {day} written")
            appended = await outbox.append(connection, event, traceparent=traceparent)
            found = await repository.day_as_written(connection, day)
        result = WriteResult(**msgspec.structs.asdict(found), event_id=str(appended.event_id))
        return Written(
            result, created=bool(found.rates) and not old, source_seq=appended.source_seq
        )

"""Use cases of the rates. Every answer comes with the cache tags of what it was made of.

It knows neither Litestar nor the driver; today's date is given as a function.
"""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

from asgi_isr.events import Invalidation
from perfcheck_contracts import (
    BASE_CURRENCY,
    Currency,
    CurrencyList,
    CurrencySummary,
    Day,
    DayRate,
    History,
    Pair,
    WriteResult,
    Year,
    YearCurrency,
    YearList,
)

from perfcheck_api import outbox
from perfcheck_api.db import Database
from perfcheck_api.errors import BadRequestError, Fault, NotFoundError
from perfcheck_api.rates import repository
from perfcheck_api.rates.input import (
    check_writable,
    code_from,
    day_from,
    no_day,
    range_from,
    rates_from,
    unknown_currency,
    year_from,
)
from perfcheck_api.rates.model import (
    BASE_NAME,
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
    """What a write left; `created` when the day had no rates before, `number` in the outbox."""

    result: WriteResult
    created: bool
    number: int


class RatesService:
    """Reads and writes reference rates.

    Every method raises `DatabaseUnavailableError` when PostgreSQL cannot answer; those that take
    text from callers raise `BadRequestError` or `NotFoundError` for what does not fit.
    """

    def __init__(self, database: Database, *, today: Callable[[], date]) -> None:
        self._database = database
        self._today = today

    async def currencies(self) -> Tagged[CurrencyList]:
        """Return every currency that has rates, by code."""
        row = await self._database.row(repository.CURRENCIES)
        columns = row if row is not None and row[0] is not None else ((),) * 5
        return Tagged(
            CurrencyList(
                currencies=[
                    CurrencySummary(code=code, name=name, first_day=first, last_day=last, rate=rate)
                    for code, name, first, last, rate in zip(*columns, strict=True)
                ]
            ),
            (CURRENCIES_TAG,),
        )

    async def currency(self, text: str) -> Tagged[Currency]:
        """Return a currency's latest rate and its change."""
        code = code_from(text, field="code")
        row = await self._database.row(repository.CURRENCY, {"code": code})
        if row is None:
            raise unknown_currency(code, field="code")
        name, first, last, rate, change = row
        return Tagged(
            Currency(
                code=code, name=name, first_day=first, last_day=last, rate=rate, change=change
            ),
            (currency_tag(code),),
        )

    async def history(self, text: str, first: str | None, last: str | None) -> Tagged[History]:
        """Return a currency's rates from `first` to `last`, all where nothing is given."""
        code = code_from(text, field="code")
        start, end = range_from(first, last, today=self._today())
        row = await self._database.row(repository.HISTORY, {"code": code, **_bounds(start, end)})
        if row is None or (not row[0] and start is None and end is None):
            raise unknown_currency(code, field="code")
        days, rates = row
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
        self, base_text: str, quote_text: str, first: str | None, last: str | None
    ) -> Tagged[Pair]:
        """Return the cross rate of two currencies, on the days on which both have a rate."""
        base = code_from(base_text, field="base")
        quote = code_from(quote_text, field="quote")
        if base == quote:
            raise BadRequestError(Fault("quote", f"{quote} is the base as well; name two"))
        start, end = range_from(first, last, today=self._today())
        query = repository.PAIR
        if BASE_CURRENCY in {base, quote}:
            query = repository.PAIR_FROM_EURO if base == BASE_CURRENCY else repository.PAIR_TO_EURO
        parameters = {"base": base, "quote": quote, "euro": BASE_NAME, **_bounds(start, end)}
        row = await self._database.row(query, parameters)
        tags = (currency_tag(base), currency_tag(quote))
        if row is None:
            raise await self._unknown_of_pair(base, quote, tags)
        base_name, quote_name, days, rates = row
        return Tagged(
            Pair(
                base=base,
                quote=quote,
                base_name=base_name,
                quote_name=quote_name,
                days=days,
                rates=rates,
            ),
            tags,
        )

    async def _unknown_of_pair(self, base: str, quote: str, tags: tuple[str, ...]) -> NotFoundError:
        known = {BASE_CURRENCY, *await repository.known_codes(self._database)}
        if base not in known:
            return unknown_currency(base, field="base", tags=tags)
        return unknown_currency(quote, field="quote", tags=tags)

    async def day(self, text: str) -> Tagged[Day]:
        """Return all rates of a day."""
        return await self._day(day_from(text, field="date"), ())

    async def latest_day(self) -> Tagged[Day]:
        """Return all rates of the newest day."""
        row = await self._database.row(repository.LATEST_DAY)
        if row is None:
            fault = Fault("date", "there are no rates yet; `perfcheck ingest` loads them")
            raise NotFoundError("no-such-day", fault, tags=(LATEST_TAG,))
        return await self._day(row[0], (LATEST_TAG,))

    async def _day(self, day: date, more_tags: tuple[str, ...]) -> Tagged[Day]:
        row = await self._database.row(repository.DAY, {"day": day})
        found = _day_from(day, row)
        if not found.rates:
            error = no_day(day, today=self._today())
            error.tags += more_tags
            raise error
        tags = (day_tag(day), *more_tags)
        # The changes were made of the previous day's rates.
        return Tagged(found, tags if found.previous is None else (*tags, day_tag(found.previous)))

    async def years(self) -> Tagged[YearList]:
        """Return the years that have rates."""
        row = await self._database.row(repository.YEARS)
        return Tagged(YearList(years=row[0] if row is not None else []), (YEARS_TAG,))

    async def year(self, text: str) -> Tagged[Year]:
        """Return a year's rates summed up by currency."""
        year = year_from(text)
        # A year's end is exclusive, and dates end with year 9999.
        end = date(year + 1, 1, 1) if year < date.max.year else date.max
        row = await self._database.row(repository.YEAR, {"start": date(year, 1, 1), "end": end})
        tags = (year_tag(year),)
        if row is None or row[3] is None:
            fault = Fault(
                "year", f"there are no rates of {year}; GET /api/v1/years lists the years"
            )
            raise NotFoundError("no-such-year", fault, tags=tags)
        previous, following, days, *columns = row
        fields = ("code", "name", "first", "last", "min", "max", "mean")
        return Tagged(
            Year(
                year=year,
                previous=previous,
                next=following,
                days=days,
                currencies=[
                    YearCurrency(**dict(zip(fields, values, strict=True)))
                    for values in zip(*columns, strict=True)
                ],
            ),
            tags,
        )

    async def write_day(
        self, text: str, body: bytes, *, merge: bool, traceparent: str | None = None
    ) -> Written:
        """Replace the rates of a day, or with `merge` change those named; announce it.

        Change and event are one transaction. Raises `RejectedError` for a day or a body that must
        not be written.
        """
        day = day_from(text, field="date")
        check_writable(day, today=self._today())
        known = await repository.known_codes(self._database)
        named = rates_from(body, known=known, merge=merge)
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
            found = _day_from(day, await repository.day_as_written(connection, day))
        result = WriteResult(
            day=day,
            previous=found.previous,
            next=found.next,
            rates=found.rates,
            event_id=str(appended.event_id),
        )
        return Written(result, created=bool(found.rates) and not old, number=appended.id)


def _bounds(start: date | None, end: date | None) -> dict[str, Any]:
    return {"start": start or FIRST_DAY, "end": end or date.max}


def _day_from(day: date, row: tuple[Any, ...] | None) -> Day:
    """Return a day from the row of `repository.DAY`; without rates where it has none."""
    previous, following, *columns = row if row is not None else (None, None, [None])
    if columns[0][0] is None:
        return Day(day=day, previous=previous, next=following, rates=[])
    return Day(
        day=day,
        previous=previous,
        next=following,
        rates=[
            DayRate(code=code, name=name, rate=rate, change=change)
            for code, name, rate, change in zip(*columns, strict=True)
        ],
    )

"""Runs the statements of the rates, and returns what they find as structs."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from perfcheck_contracts import (
    BASE_CURRENCY,
    Currency,
    CurrencySummary,
    Day,
    DayRate,
    Pair,
    Year,
    YearCurrency,
)

from perfcheck_api.db import Connection, Database
from perfcheck_api.locks import RATES_LOCK
from perfcheck_api.rates import statements
from perfcheck_api.rates.model import (
    BASE_NAME,
    FIRST_DAY,
    Neighbours,
    Series,
)


async def currencies(database: Database) -> list[CurrencySummary]:
    """Return every currency that has rates, by code."""
    row = await database.row(statements.CURRENCIES)
    if row is None or row[0] is None:
        return []
    return [
        CurrencySummary(code=code, name=name, first_day=first, last_day=last, rate=rate)
        for code, name, first, last, rate in zip(*row, strict=True)
    ]


async def currency(database: Database, code: str) -> Currency | None:
    """Return a currency's latest rate and its change, or None if it has no rate."""
    row = await database.row(statements.CURRENCY, {"code": code})
    if row is None:
        return None
    name, first, last, rate, change = row
    return Currency(code=code, name=name, first_day=first, last_day=last, rate=rate, change=change)


async def history(
    database: Database, code: str, start: date | None, end: date | None
) -> Series | None:
    """Return a currency's rates within an inclusive range, or None if it is not known."""
    row = await database.row(statements.HISTORY, {"code": code, **_bounds(start, end)})
    return None if row is None else Series(*row)


async def pair(
    database: Database, base: str, quote: str, start: date | None, end: date | None
) -> Pair | None:
    """Return the cross rate within an inclusive range, or None if one of them is not known."""
    query = statements.PAIR
    if BASE_CURRENCY in {base, quote}:
        query = statements.PAIR_FROM_EURO if base == BASE_CURRENCY else statements.PAIR_TO_EURO
    names = {"base": base, "quote": quote, "euro": BASE_NAME}
    row = await database.row(query, {**names, **_bounds(start, end)})
    if row is None:
        return None
    base_name, quote_name, days, rates = row
    return Pair(
        base=base,
        quote=quote,
        base_name=base_name,
        quote_name=quote_name,
        days=days,
        rates=rates,
    )


def _bounds(start: date | None, end: date | None) -> dict[str, date]:
    return {"start": start or FIRST_DAY, "end": end or date.max}


async def day(database: Database, wanted: date) -> Day:
    """Return a day; without rates where it has none."""
    return _day(wanted, await database.row(statements.DAY, {"day": wanted}))


async def latest_day(database: Database) -> date | None:
    """Return the newest day that has rates."""
    row = await database.row(statements.LATEST_DAY)
    return None if row is None else row[0]


def _day(wanted: date, row: Sequence[Any] | None) -> Day:
    previous, following, *columns = row if row is not None else (None, None, [None])
    rates = [] if columns[0][0] is None else list(zip(*columns, strict=True))
    return Day(
        day=wanted,
        previous=previous,
        next=following,
        rates=[
            DayRate(code=code, name=name, rate=rate, change=change)
            for code, name, rate, change in rates
        ],
    )


async def years(database: Database) -> list[int]:
    """Return the years that have rates, oldest first."""
    row = await database.row(statements.YEARS)
    return [] if row is None else row[0]


async def year(database: Database, wanted: int) -> Year | None:
    """Return a year's rates summed up by currency, or None where there are none."""
    # A year's end is exclusive, and dates end with year 9999.
    end = date(wanted + 1, 1, 1) if wanted < date.max.year else date.max
    row = await database.row(statements.YEAR, {"start": date(wanted, 1, 1), "end": end})
    if row is None or row[3] is None:
        return None
    previous, following, days, *columns = row
    fields = ("code", "name", "first", "last", "min", "max", "mean")
    return Year(
        year=wanted,
        previous=previous,
        next=following,
        days=days,
        currencies=[
            YearCurrency(**dict(zip(fields, values, strict=True)))
            for values in zip(*columns, strict=True)
        ],
    )


async def known_codes(database: Database) -> frozenset[str]:
    """Return the codes of all currencies that may have rates."""
    row = await database.row(statements.KNOWN_CODES)
    return frozenset(row[0] or ()) if row is not None else frozenset()


async def lock_writers(connection: Connection) -> None:
    """Keep other transactions from changing rates until this one ends; wait for those that do."""
    await connection.execute(statements.LOCK_WRITERS, {"lock": RATES_LOCK})


async def codes_of_day(connection: Connection, day: date) -> frozenset[str]:
    """Return the currencies that have a rate on `day`."""
    row = await (await connection.execute(statements.CODES_OF_DAY, {"day": day})).fetchone()
    return frozenset(row[0]) if row is not None else frozenset()


async def day_as_written(connection: Connection, wanted: date) -> Day:
    """Return a day as the caller's transaction sees it."""
    cursor = await connection.execute(statements.DAY, {"day": wanted}, binary=True)
    return _day(wanted, await cursor.fetchone())


async def neighbours(connection: Connection, day: date) -> Neighbours:
    """Return the nearest days with rates before and after `day`."""
    row = await (await connection.execute(statements.NEIGHBOURS, {"day": day})).fetchone()
    return Neighbours(*row) if row is not None else Neighbours(None, None)


async def write(
    connection: Connection,
    day: date,
    *,
    rates: Mapping[str, Decimal],
    removed: Collection[str],
) -> None:
    """Set `rates` of `day`, and remove those of the currencies `removed`."""
    if removed:
        await connection.execute(statements.REMOVE_RATES, {"day": day, "codes": list(removed)})
    if rates:
        parameters = {"day": day, "codes": list(rates), "rates": list(rates.values())}
        await connection.execute(statements.WRITE_RATES, parameters)

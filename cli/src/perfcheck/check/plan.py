"""Which pages are asked for: made from what the API really has, the same list for the same data."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from perfcheck_contracts import CurrencyList, Day, YearList
from perfcheck_contracts.http import BASE_CURRENCY

from perfcheck.exits import TargetError
from perfcheck.http import Http

T = TypeVar("T")
CURRENCIES_MAX = 12
DAYS_MAX = 10
YEARS_MAX = 5


class PlannedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page and texts that stand in it when it is right."""

    kind: str
    path: str
    expect: list[str]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Pages in the order in which they are asked for, and what they were made from."""

    pages: list[PlannedPage]
    currencies: list[str]
    days: list[str]


async def make(http: Http, api: str) -> Plan:
    """Ask the API for currencies, days and years and make the list of pages.

    Raises:
        TargetError: when the API does not answer, or has no data yet.

    """
    listed = (await http.get(f"{api}/api/v1/currencies")).expect(200).read(CurrencyList)
    years = (await http.get(f"{api}/api/v1/years")).expect(200).read(YearList).years
    reply = await http.get(f"{api}/api/v1/days/latest")
    if not listed.currencies or not years or reply.status == 404:  # noqa: PLR2004 -- HTTP
        raise TargetError(f"{api} has no rates yet: load them with `perfcheck ingest`")
    latest = reply.expect(200).read(Day)
    days = [latest]
    while len(days) < DAYS_MAX and (previous := days[-1].previous):
        url = f"{api}/api/v1/days/{previous.isoformat()}"
        days.append((await http.get(url)).expect(200).read(Day))
    traded = [each.code for each in listed.currencies if each.last_day == latest.day]
    codes = evenly([code for code in traded if code != BASE_CURRENCY], CURRENCIES_MAX)
    names = [each.day.isoformat() for each in days]
    return Plan(
        pages=pages(codes, names, evenly(sorted(years), YEARS_MAX)),
        currencies=codes,
        days=names,
    )


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Return at most `count` items, spread evenly over `items`, the last one always among them."""
    if len(items) <= count:
        return list(items)
    step = (len(items) - 1) / (count - 1)
    return [items[round(number * step)] for number in range(count)]


def pages(codes: Sequence[str], days: Sequence[str], years: Sequence[int]) -> list[PlannedPage]:
    """Return every kind of page: the board, currencies, two pairs each, days and years."""
    found = [PlannedPage(kind="board", path="/", expect=list(codes[:3]))]
    for number, code in enumerate(codes):
        other = codes[(number + 1) % len(codes)]
        found.append(_page("currency", f"/currencies/{code}", code))
        found.append(_page("pair", f"/pairs/EUR/{code}", "EUR", code))
        if other != code:
            found.append(_page("pair", f"/pairs/{code}/{other}", code, other))
    found += [_page("day", f"/days/{day}", day) for day in days]
    found += [_page("year", f"/years/{year}", str(year)) for year in years]
    return found


def _page(kind: str, path: str, *expect: str) -> PlannedPage:
    return PlannedPage(kind=kind, path=path, expect=list(expect))

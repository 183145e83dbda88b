"""A year's page and the list of years."""

import msgspec
from perfcheck_contracts import Year, YearCurrency

from perfcheck_bff.site import formats
from perfcheck_bff.site.views.rates import trend

__all__ = ["Span", "YearRow", "YearView", "YearsView", "year_view", "years_view"]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Where a year's last rate lies between its lowest (0) and highest (100)."""

    at: float


class YearRow(msgspec.Struct, frozen=True, kw_only=True):
    """One currency's year; `last_value` is the exact last rate."""

    code: str
    name: str
    first: str
    last: str
    last_value: float
    low: str
    high: str
    mean: str
    change: str
    trend: str
    span: Span | None


class YearView(msgspec.Struct, frozen=True, kw_only=True):
    """A year's page; neighbours are years with data."""

    year: int
    previous: int | None
    next: int | None
    days: int
    rows: tuple[YearRow, ...]


class YearsView(msgspec.Struct, frozen=True, kw_only=True):
    """The list of years by decade, the newest decade and year first."""

    count: int
    decades: tuple[tuple[int, ...], ...]


def year_view(year: Year) -> YearView:
    """Lay out a year's summary."""
    return YearView(
        year=year.year,
        previous=year.previous,
        next=year.next,
        days=year.days,
        rows=tuple(_row(currency) for currency in year.currencies),
    )


def years_view(years: list[int]) -> YearsView:
    """Group ascending years by decade."""
    groups: dict[int, list[int]] = {}
    for year in reversed(years):
        groups.setdefault(year // 10, []).append(year)
    return YearsView(count=len(years), decades=tuple(tuple(group) for group in groups.values()))


def _row(currency: YearCurrency) -> YearRow:
    change = currency.last / currency.first - 1
    width = currency.max - currency.min
    return YearRow(
        code=currency.code,
        name=currency.name,
        first=formats.rate(currency.first),
        last=formats.rate(currency.last),
        last_value=currency.last,
        low=formats.rate(currency.min),
        high=formats.rate(currency.max),
        mean=formats.rate(currency.mean),
        change=formats.percent(change),
        trend=trend(change),
        span=Span(at=round(100 * (currency.last - currency.min) / width, 1)) if width else None,
    )

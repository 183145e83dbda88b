"""A rate over the years: chart, tiles, the last days and the years as a table."""

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from perfcheck_bff.site import charts, formats, series
from perfcheck_bff.site.texts import Texts
from perfcheck_bff.site.views.rates import trend

__all__ = ["Extreme", "HistoryView", "RecentRow", "YearAgo", "YearRow", "history_view"]

RECENT_DAYS = 30


class Extreme(msgspec.Struct, frozen=True, kw_only=True):
    """The rate of a certain day."""

    rate: str
    day: date


class YearAgo(msgspec.Struct, frozen=True, kw_only=True):
    """What the rate was a year before its last day, and how it has changed since."""

    rate: str
    day: date
    change: str
    trend: str


class RecentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One of the last days; `change` is empty on the very first day of a series."""

    day: date
    value: float
    rate: str
    change: str
    trend: str


class YearRow(msgspec.Struct, frozen=True, kw_only=True):
    """One year of the chart's table."""

    year: int
    low: str
    high: str
    last: str


class HistoryView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a page says of a series; `recent` and `years` have the newest first."""

    count: int
    first: Extreme
    latest: RecentRow
    low: Extreme
    high: Extreme
    year_ago: YearAgo | None
    chart: charts.LineChart
    recent: tuple[RecentRow, ...]
    years: tuple[YearRow, ...]


def history_view(days: Sequence[date], rates: Sequence[float], texts: Texts) -> HistoryView:
    """Lay out ascending `days` and their positive `rates`; there must be at least one."""
    years = series.by_year(days, rates)
    low, high = min(year.low for year in years), max(year.high for year in years)
    tail = slice(max(0, len(days) - RECENT_DAYS - 1), None)
    recent = [
        _recent(day, rate, change)
        for day, rate, change in zip(
            days[tail], rates[tail], series.changes(rates[tail]), strict=True
        )
    ]
    recent.reverse()
    return HistoryView(
        count=len(days),
        first=Extreme(rate=formats.rate(rates[0]), day=days[0]),
        latest=recent[0],
        low=Extreme(rate=formats.rate(low), day=days[rates.index(low)]),
        high=Extreme(rate=formats.rate(high), day=days[rates.index(high)]),
        year_ago=_year_ago(days, rates),
        chart=charts.line_chart(days, rates, month=texts.month),
        recent=tuple(recent[:RECENT_DAYS]),
        years=tuple(
            YearRow(
                year=entry.year,
                low=formats.rate(entry.low),
                high=formats.rate(entry.high),
                last=formats.rate(entry.last),
            )
            for entry in reversed(years)
        ),
    )


def _recent(day: date, rate: float, change: float | None) -> RecentRow:
    return RecentRow(
        day=day,
        value=rate,
        rate=formats.rate(rate),
        change="" if change is None else formats.percent(change),
        trend=trend(change),
    )


def _year_ago(days: Sequence[date], rates: Sequence[float]) -> YearAgo | None:
    index = series.at_or_before(days, days[-1] - timedelta(days=365))
    if index is None:
        return None
    change = rates[-1] / rates[index] - 1
    return YearAgo(
        rate=formats.rate(rates[index]),
        day=days[index],
        change=formats.percent(change),
        trend=trend(change),
    )

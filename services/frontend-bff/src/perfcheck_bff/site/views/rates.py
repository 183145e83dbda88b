"""The table of one day's rates, on the board and on a day's own page, and the board's tiles."""

from collections.abc import Sequence
from datetime import date

import msgspec
from perfcheck_contracts import Day, DayRate

from perfcheck_bff.site import charts, formats

__all__ = ["Balance", "BoardView", "DayView", "Mover", "RateRow", "board_view", "day_view"]

_SCALE_MIN = 0.005
"""On a quiet day a full bar means half a per cent, so that noise does not look like a storm."""
_UNCHANGED = 0.00005
"""Below this a change is shown as 0.00%, so it counts as none."""


class RateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line: `value` is the exact rate; `change` is empty when there is none to show."""

    code: str
    name: str
    value: float
    rate: str
    inverse: str
    change: str
    trend: str
    bar: charts.Bar | None


class DayView(msgspec.Struct, frozen=True, kw_only=True):
    """A day's page."""

    day: date
    previous: date | None
    next: date | None
    rows: tuple[RateRow, ...]


class Mover(msgspec.Struct, frozen=True, kw_only=True):
    """The rate that moved furthest in one direction."""

    code: str
    name: str
    rate: str
    change: str
    trend: str


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """How many rates rose, fell, or stayed."""

    up: int
    down: int
    same: int


class BoardView(msgspec.Struct, frozen=True, kw_only=True):
    """The first page: the latest day, and what stands out in it."""

    day: DayView
    up: Mover | None
    down: Mover | None
    balance: Balance


def trend(change: float | None) -> str:
    """Name the direction of a change as pages colour it: `up`, `down` or `same`."""
    if change is None or abs(change) < _UNCHANGED:
        return "same"
    return "up" if change > 0 else "down"


def day_view(day: Day) -> DayView:
    """Lay out a day's rates; bars share one scale, that of the largest change of the day."""
    scale = max([_SCALE_MIN, *(abs(rate.change or 0) for rate in day.rates)])
    return DayView(
        day=day.day,
        previous=day.previous,
        next=day.next,
        rows=tuple(_row(rate, scale=scale) for rate in day.rates),
    )


def board_view(day: Day) -> BoardView:
    """Lay out the latest day with its largest rise, largest fall and balance."""
    trends = [trend(rate.change) for rate in day.rates]
    return BoardView(
        day=day_view(day),
        up=_mover(day.rates, direction="up"),
        down=_mover(day.rates, direction="down"),
        balance=Balance(
            up=trends.count("up"), down=trends.count("down"), same=trends.count("same")
        ),
    )


def _row(rate: DayRate, *, scale: float) -> RateRow:
    return RateRow(
        code=rate.code,
        name=rate.name,
        value=rate.rate,
        rate=formats.rate(rate.rate),
        inverse=formats.rate(1 / rate.rate),
        change="" if rate.change is None else formats.percent(rate.change),
        trend=trend(rate.change),
        bar=charts.change_bar(rate.change, change_max=scale),
    )


def _mover(rates: Sequence[DayRate], *, direction: str) -> Mover | None:
    moved = [rate for rate in rates if trend(rate.change) == direction]
    if not moved:
        return None
    furthest = max(moved, key=lambda rate: abs(rate.change or 0))
    return Mover(
        code=furthest.code,
        name=furthest.name,
        rate=formats.rate(furthest.rate),
        change=formats.percent(furthest.change or 0),
        trend=direction,
    )

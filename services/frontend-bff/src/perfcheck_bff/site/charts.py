"""Geometry of the charts: from columns to path data and label positions; pure.

A template draws it (`templates/history.html`). The line lives in its own coordinates (`WIDTH` by
`HEIGHT`, stretched to the plot), labels and marks are placed in per cent of the plot, so that a
chart fills any screen while its text keeps its size, without a script or an inline style.
"""

import math
from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise

import msgspec

from perfcheck_bff.site import formats, series

__all__ = ["HEIGHT", "WIDTH", "Bar", "LineChart", "PlotPoint", "Tick", "change_bar", "line_chart"]

WIDTH = 1000
HEIGHT = 400
_BUCKETS = 250
"""Steps of time in a line chart: two points each, near one per pixel of the plot."""
_GAP_DAYS = 45
_Y_TICKS = 5
_X_TICKS_MAX = 7
_MONTH_STEPS = (1, 3, 6, 12, 24, 60, 120, 240)
_MONTHS_A_YEAR = 12
_EDGE_PERCENT = 12
"""A label nearer to an edge than this is aligned with the edge, not centred over its point."""


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled place on an axis, in per cent of the plot (from the left, or from the top)."""

    at: float
    label: str


class PlotPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled point in the plot, in per cent.

    `anchor` is SVG's text-anchor; `above` says on which side of the point the label stands.
    """

    x: float
    y: float
    label: str
    anchor: str
    above: bool


class LineChart(msgspec.Struct, frozen=True, kw_only=True):
    """A line over time; `line` and `area` are SVG path data, `marks` the lowest and highest."""

    line: str
    area: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    low: PlotPoint
    high: PlotPoint


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A bar from the middle (50) of a width of 100, to the right for a rise."""

    x: float
    width: float


def line_chart(
    days: Sequence[date], values: Sequence[float], *, month: Callable[[date], str]
) -> LineChart:
    """Lay out a line chart of ascending `days` and their positive `values`, at least one.

    A pause of more than 45 days, or two steps where those are longer, interrupts the line: a
    currency that was not quoted for years is not drawn as if it had been. `month` labels a tick
    that is no whole year.
    """
    kept = series.downsample(days, values, buckets=_BUCKETS)
    ordinals = [days[index].toordinal() for index in kept]
    shown = [values[index] for index in kept]
    # The extremes of each step are kept, so those of what is kept are those of all.
    low, high = min(shown), max(shown)
    bottom, step, top = y_axis(low, high)
    first, span = ordinals[0], max(ordinals[-1] - ordinals[0], 1)
    x_scale, y_scale = WIDTH / span, HEIGHT / (top - bottom)
    points = [
        (round((ordinal - first) * x_scale), round((top - value) * y_scale))
        for ordinal, value in zip(ordinals, shown, strict=True)
    ]
    gap_days = max(_GAP_DAYS, 2 * span / _BUCKETS)
    breaks = [
        place
        for place, (before, after) in enumerate(pairwise(ordinals), start=1)
        if after - before > gap_days
    ]
    runs = [
        (points[start], _path(points[start:end]))
        for start, end in zip([0, *breaks], [*breaks, len(points)], strict=True)
    ]

    def mark(value: float, *, above: bool) -> PlotPoint:
        x = (ordinals[shown.index(value)] - first) / span
        return _mark(x, (top - value) / (top - bottom), formats.rate(value), above=above)

    return LineChart(
        line="".join(path for _, path in runs),
        area="".join(f"{path}V{HEIGHT}H{x}z" for (x, _), path in runs),
        x_ticks=x_axis(days[0], days[-1], month=month),
        y_ticks=_y_ticks(bottom, step, top),
        low=mark(low, above=False),
        high=mark(high, above=True),
    )


def y_axis(low: float, high: float) -> tuple[float, float, float]:
    """Return bottom, step and top of an axis around `low`..`high`: steps of 1, 2 or 5 times 10^n.

    A flat series gets one per cent of room on either side.
    """
    if high - low <= abs(high) * 1e-9:
        room = abs(high) * 0.01 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / _Y_TICKS
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(size * magnitude for size in (1, 2, 5, 10) if size * magnitude >= rough * 0.999)
    return math.floor(low / step + 1e-9) * step, step, math.ceil(high / step - 1e-9) * step


def x_axis(first: date, last: date, *, month: Callable[[date], str]) -> tuple[Tick, ...]:
    """Place at most seven labels on whole years, or on months when there are fewer than three."""
    start, end = first.toordinal(), last.toordinal()
    month_first = first.year * _MONTHS_A_YEAR + first.month - 1
    month_last = last.year * _MONTHS_A_YEAR + last.month - 1
    months = month_last - month_first
    step = next((s for s in _MONTH_STEPS if months / s <= _X_TICKS_MAX - 1), _MONTH_STEPS[-1])
    ticks = []
    for number in range(-(-month_first // step) * step, month_last + 1, step):
        day = date(number // _MONTHS_A_YEAR, number % _MONTHS_A_YEAR + 1, 1)
        if day < first and number != month_first:
            continue
        at = max(0.0, (day.toordinal() - start) / max(end - start, 1))
        label = str(day.year) if step >= _MONTHS_A_YEAR else month(day)
        ticks.append(Tick(at=round(100 * at, 2), label=label))
    return tuple(ticks)


def change_bar(change: float | None, *, change_max: float) -> Bar | None:
    """Draw a change as a bar whose half length is `change_max` (> 0); None when there is none."""
    if not change:
        return None
    length = round(min(abs(change) / change_max, 1.0) * 50, 2)
    return Bar(x=50.0 if change > 0 else 50 - length, width=length)


def _path(points: Sequence[tuple[int, int]]) -> str:
    """Return path data in relative steps, which take half the bytes of absolute ones."""
    (x, y), *_ = points
    steps = [f"{bx - ax} {by - ay}" for (ax, ay), (bx, by) in pairwise(points)]
    # A run of one point still shows: a line of no length with a round cap is a dot.
    return f"M{x} {y}l{' '.join(steps) or '0 0'}"


def _y_ticks(bottom: float, step: float, top: float) -> tuple[Tick, ...]:
    steps = round((top - bottom) / step)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return tuple(
        Tick(
            at=round(100 - 100 * place / steps, 2),
            label=f"{bottom + place * step:,.{decimals}f}",
        )
        for place in range(steps + 1)
    )


def _mark(x: float, y: float, label: str, *, above: bool) -> PlotPoint:
    x_percent, y_percent = round(100 * x, 2), round(100 * y, 2)
    anchor = "middle"
    if x_percent < _EDGE_PERCENT:
        anchor = "start"
    elif x_percent > 100 - _EDGE_PERCENT:
        anchor = "end"
    # Below a point near the bottom the label would cover those of the axis.
    above = above or y_percent > 100 - _EDGE_PERCENT
    return PlotPoint(x=x_percent, y=y_percent, label=label, anchor=anchor, above=above)

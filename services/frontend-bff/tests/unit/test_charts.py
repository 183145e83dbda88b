"""Geometry of charts."""

import re
from datetime import date, timedelta

import pytest
from perfcheck_bff.site import charts


def month(day: date) -> str:
    """Label a month."""
    return day.strftime("%b %Y")


def points(path: str) -> list[tuple[int, int]]:
    """Read the points back from path data of one run in relative steps."""
    numbers = [int(number) for number in re.findall(r"-?\d+", path)]
    x, y = numbers[:2]
    found = [(x, y)]
    for dx, dy in zip(numbers[2::2], numbers[3::2], strict=True):
        x, y = x + dx, y + dy
        found.append((x, y))
    return found


def test_line_spans_the_plot_within_its_axis() -> None:
    """The first day is at the left edge, the last at the right, higher rates are further up."""
    days = [date(2026, 1, 1), date(2026, 1, 6), date(2026, 1, 11)]

    chart = charts.line_chart(days, [1.0, 2.0, 1.5], month=month)

    line = points(chart.line)
    assert [x for x, _ in line] == [0, charts.WIDTH // 2, charts.WIDTH]
    assert [y for _, y in line] == [charts.HEIGHT, 0, charts.HEIGHT // 2]


def test_marks_stand_at_the_lowest_and_highest() -> None:
    """Marks are in per cent of the plot; labels stay clear of its edges and of the axis below."""
    days = [date(2026, 1, 1), date(2026, 1, 6), date(2026, 1, 11)]

    chart = charts.line_chart(days, [1.0, 2.0, 1.5], month=month)

    assert chart.low == charts.PlotPoint(x=0, y=100, label="1.0000", anchor="start", above=True)
    assert chart.high == charts.PlotPoint(x=50, y=0, label="2.0000", anchor="middle", above=True)


def test_a_long_pause_interrupts_the_line() -> None:
    """A currency that was not quoted for years is not drawn as if it had been."""
    days = [date(2008, 12, 1), date(2008, 12, 2), date(2018, 2, 1), date(2018, 2, 2)]

    chart = charts.line_chart(days, [300.0, 290.0, 125.0, 124.0], month=month)

    assert chart.line.count("M") == 2
    assert chart.area.count("z") == 2


def test_weekends_and_holidays_do_not_interrupt_it() -> None:
    """A pause of some days is how business days are."""
    days = [date(2026, 1, 2) + timedelta(days=7 * index) for index in range(8)]

    chart = charts.line_chart(days, [1.0 + index for index in range(8)], month=month)

    assert chart.line.count("M") == 1


def test_a_single_day_makes_a_chart() -> None:
    """The first day of a new currency is drawn as a dot in the middle."""
    chart = charts.line_chart([date(2026, 1, 5)], [4.0], month=month)

    assert chart.line == f"M0 {charts.HEIGHT // 2}l0 0"
    assert chart.low.y == 50


def test_a_day_between_two_gaps_is_a_dot() -> None:
    """A run of one day still shows."""
    days = [date(2000, 1, 3), date(2010, 1, 4), date(2020, 1, 6)]

    chart = charts.line_chart(days, [1.0, 2.0, 3.0], month=month)

    assert chart.line.count("l0 0") == 3


def test_27_years_stay_small() -> None:
    """All of history is a few kilobytes of path data."""
    days = [date(1999, 1, 4) + timedelta(days=index) for index in range(10_000)]
    values = [1.0 + 0.5 * ((index * 7919) % 1000) / 1000 for index in range(10_000)]

    chart = charts.line_chart(days, values, month=month)

    assert len(chart.line) < 6000


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.8252, 1.599, (0.8, 0.2, 1.6)),
        (68.07, 305.0, (50.0, 50.0, 350.0)),
        (13_000.0, 20_275.17, (12_000.0, 2_000.0, 22_000.0)),
        (1.0, 2.0, (1.0, 0.2, 2.0)),
    ],
)
def test_y_axis_has_round_steps(
    low: float, high: float, expected: tuple[float, float, float]
) -> None:
    """Bottom, step and top are multiples of 1, 2 or 5 times a power of ten around the data."""
    assert charts.y_axis(low, high) == pytest.approx(expected)


def test_y_axis_of_a_flat_series_has_room() -> None:
    """A currency that is pegged gets an axis as well."""
    bottom, step, top = charts.y_axis(1.9558, 1.9558)

    assert bottom < 1.9558 < top
    assert step > 0


def test_y_ticks_run_from_bottom_to_top() -> None:
    """Labels have the decimals of the step and are spaced evenly."""
    chart = charts.line_chart([date(2026, 1, 1), date(2026, 1, 2)], [0.8252, 1.599], month=month)

    assert [(tick.at, tick.label) for tick in chart.y_ticks] == [
        (100, "0.8"),
        (75, "1.0"),
        (50, "1.2"),
        (25, "1.4"),
        (0, "1.6"),
    ]


def test_x_axis_over_decades_labels_years() -> None:
    """27 years get a label every five."""
    ticks = charts.x_axis(date(1999, 1, 4), date(2026, 10, 30), month=month)

    assert [tick.label for tick in ticks] == ["2000", "2005", "2010", "2015", "2020", "2025"]


def test_x_axis_over_months_labels_months() -> None:
    """A short history gets months."""
    ticks = charts.x_axis(date(2026, 1, 15), date(2026, 4, 20), month=month)

    assert [tick.label for tick in ticks] == ["Jan 2026", "Feb 2026", "Mar 2026", "Apr 2026"]
    assert ticks[0].at == 0


@pytest.mark.parametrize("days", [0, 1, 40, 400, 2000, 10_000, 40_000])
def test_x_axis_never_has_more_than_seven_labels(days: int) -> None:
    """Labels do not collide, whatever the span, and stay in the plot."""
    first = date(1999, 1, 4)
    ticks = charts.x_axis(first, first + timedelta(days=days), month=month)

    assert 1 <= len(ticks) <= 7
    assert all(0 <= tick.at <= 100 for tick in ticks)


def test_change_bars_grow_from_the_middle() -> None:
    """A rise goes to the right, a fall to the left, the largest fills its half."""
    assert charts.change_bar(0.01, change_max=0.02) == charts.Bar(x=50, width=25)
    assert charts.change_bar(-0.02, change_max=0.02) == charts.Bar(x=0, width=50)
    assert charts.change_bar(0.0, change_max=0.02) is None
    assert charts.change_bar(None, change_max=0.02) is None

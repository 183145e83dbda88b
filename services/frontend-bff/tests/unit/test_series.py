"""Downsampling and summing up of columns."""

from datetime import date, timedelta

from perfcheck_bff.site import series

START = date(1999, 1, 4)


def run(count: int, *, first: date = START) -> list[date]:
    """Make that many days in a row."""
    return [first + timedelta(days=index) for index in range(count)]


def saw(count: int) -> list[float]:
    """Make values whose neighbours differ a lot, with one lowest and one highest."""
    values = [100.0 + (index * 37) % 101 for index in range(count)]
    values[count // 3] = 1.0
    values[count // 2] = 999.0
    return values


def test_short_series_is_kept_whole() -> None:
    """Up to two points a step there is nothing to leave out."""
    assert series.downsample(run(20), saw(20), buckets=10) == list(range(20))


def test_long_series_keeps_ends_and_extremes() -> None:
    """However much is left out, the first, last, lowest and highest value stay."""
    days, values = run(7126), saw(7126)

    kept = series.downsample(days, values, buckets=250)

    assert {0, 7125, values.index(1.0), values.index(999.0)} <= set(kept)
    assert len(kept) <= 2 * 250 + 2


def test_indices_ascend_without_duplicates() -> None:
    """What is kept can be drawn from left to right."""
    kept = series.downsample(run(3000), saw(3000), buckets=100)

    assert kept == sorted(set(kept))


def test_every_step_keeps_its_lowest_and_highest() -> None:
    """Each step of time shows both ends of what it covers, not an average."""
    days, values = run(1000), saw(1000)

    kept = series.downsample(days, values, buckets=10)

    span = (days[-1] - days[0]).days
    for bucket in range(10):
        low_edge = days[0] + timedelta(days=span * bucket // 10 if bucket else -1)
        high_edge = days[0] + timedelta(days=span * (bucket + 1) // 10)
        inside = [i for i, day in enumerate(days) if low_edge < day <= high_edge]
        shown = [values[i] for i in kept if i in inside]
        assert min(shown) == min(values[i] for i in inside)
        assert max(shown) == max(values[i] for i in inside)


def test_flat_series_is_reduced() -> None:
    """Where nothing moves, one point a step is enough."""
    kept = series.downsample(run(5000), [7.0] * 5000, buckets=100)

    assert len(kept) <= 102
    assert (kept[0], kept[-1]) == (0, 4999)


def test_gap_yields_no_points() -> None:
    """Steps of time without days are left empty, so that a gap stays one."""
    days = [*run(400), *run(400, first=START + timedelta(days=4000))]

    kept = series.downsample(days, saw(800), buckets=100)

    assert {0, 399, 400, 799} & set(kept) >= {0, 799}
    assert all(index < 800 for index in kept)


def test_empty_and_single_series() -> None:
    """Nothing and one day are no special cases for callers."""
    assert series.downsample([], [], buckets=10) == []
    assert series.downsample([START], [1.0], buckets=10) == [0]


def test_changes_are_against_the_value_before() -> None:
    """The first value has no change, each other one a fraction."""
    assert series.changes([2.0, 3.0, 1.5]) == [None, 0.5, -0.5]
    assert series.changes([]) == [None]


def test_at_or_before_finds_the_last_day_not_after() -> None:
    """A day without rates is answered by the one before it, a day before all by none."""
    days = [date(2026, 1, 2), date(2026, 1, 5)]

    assert series.at_or_before(days, date(2026, 1, 4)) == 0
    assert series.at_or_before(days, date(2026, 1, 5)) == 1
    assert series.at_or_before(days, date(2026, 1, 1)) is None


def test_by_year_sums_each_year_up() -> None:
    """A year has its lowest, highest and last value; a year without days is left out."""
    days = [date(2024, 12, 30), date(2024, 12, 31), date(2026, 1, 2)]

    found = series.by_year(days, [2.0, 1.0, 5.0])

    assert found == [
        series.YearRange(year=2024, low=1.0, high=2.0, last=1.0),
        series.YearRange(year=2026, low=5.0, high=5.0, last=5.0),
    ]

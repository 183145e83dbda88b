"""Percentiles against known values; the round as the unit."""

import math

import pytest
from perfcheck.check.statistics import into_rounds, median, median_of_rounds, percentile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.99, 7.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.5),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 2.5),
        ([1.0, 2.0, 3.0, 4.0], 0.0, 1.0),
        ([1.0, 2.0, 3.0, 4.0], 1.0, 4.0),
        ([1.0, 2.0, 3.0, 4.0], 0.25, 1.75),
        ([float(n) for n in range(1, 101)], 0.99, 99.01),
        ([15.0, 20.0, 35.0, 40.0, 50.0], 0.4, 29.0),
        ([1.0, 2.0, math.inf], 0.5, 2.0),
        ([1.0, 2.0, math.inf], 0.75, math.inf),
        ([math.inf, math.inf], 0.5, math.inf),
    ],
)
def test_percentile_matches_known_values(
    values: list[float], share: float, expected: float
) -> None:
    """A percentile is the linear interpolation that NumPy and k6 use."""
    assert percentile(values, share) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "share"), [([], 0.5), ([1.0, math.nan], 0.5), ([1.0], 1.01), ([1.0], -0.1)]
)
def test_percentile_refuses_what_has_none(values: list[float], share: float) -> None:
    """Nothing, not-a-number and shares outside 0..1 are errors, never a figure."""
    with pytest.raises(ValueError, match=r"."):
        percentile(values, share)


def test_median_of_an_even_count_lies_between() -> None:
    """The median of two values is their mean."""
    assert median([1.0, 2.0]) == 1.5


def test_rounds_leave_out_warm_up_and_what_came_after() -> None:
    """Only samples within the measured time count, each in the round of its time."""
    samples = [(9.9, 1.0), (10.0, 2.0), (11.9, 3.0), (12.0, 4.0), (14.0, 5.0)]
    rounds = into_rounds(samples, start_s=10.0, rounds=2, round_s=2.0)
    assert rounds == [[2.0, 3.0], [4.0]]


def test_one_bad_round_does_not_move_the_median_of_rounds() -> None:
    """The unit is the round: a burst that hits one round of three is not the result."""
    assert median_of_rounds([[1.0, 1.0], [900.0, 900.0], [3.0, 3.0]], 0.99) == 3.0


def test_a_round_without_samples_is_named() -> None:
    """A gap in the measurement is missing data, not a good round."""
    with pytest.raises(ValueError, match="round 2 of 2 has no samples"):
        median_of_rounds([[1.0], []], 0.5)

"""Percentiles against known values."""

import math

import pytest
from perfcheck_contracts import median, percentile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.99, 7.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.0, 1.0),
        ([1.0, 2.0, 3.0, 4.0], 1.0, 4.0),
        ([1.0, 2.0, 3.0, 4.0], 0.25, 1.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([15.0, 20.0, 35.0, 40.0, 50.0], 0.4, 20.0),
        ([1.0, 2.0, math.inf], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.07, 7.0),
        ([1.0, 2.0, math.inf], 0.75, math.inf),
        ([math.inf, math.inf], 0.5, math.inf),
    ],
)
def test_percentile_matches_known_values(
    values: list[float], share: float, expected: float
) -> None:
    """A percentile is the nearest rank: a value that was measured."""
    assert percentile(values, share) == expected


@pytest.mark.parametrize(
    ("values", "share"), [([], 0.5), ([1.0, math.nan], 0.5), ([1.0], 1.01), ([1.0], -0.1)]
)
def test_percentile_refuses_what_has_none(values: list[float], share: float) -> None:
    """Nothing, not-a-number and shares outside 0..1 are errors, never a figure."""
    with pytest.raises(ValueError, match=r"."):
        percentile(values, share)


def test_median_of_an_even_count_is_the_lower_one() -> None:
    """The median of two values is one of them."""
    assert median([2.0, 1.0]) == 1.0

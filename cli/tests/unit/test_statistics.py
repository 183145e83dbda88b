"""The round as the unit."""

import pytest
from perfcheck.judge.statistics import into_rounds, median_of_rounds


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

"""From the times of trials to measurements."""

import math

from perfcheck.check.invalidation import Trial, summarise


def test_median_and_maximum_of_the_trials() -> None:
    """Both figures are of all trials."""
    found = {each.metric: each for each in summarise([Trial(3.0), Trial(1.0), Trial(2.0)])}
    assert found["invalidation_p50_ms"].value == 2.0
    assert found["invalidation_max_ms"].value == 3.0
    assert found["invalidation_max_ms"].samples == 3


def test_a_trial_that_timed_out_is_counted_not_dropped() -> None:
    """One late trial makes the maximum infinite, and is named."""
    found = {
        each.metric: each for each in summarise([Trial(3.0), Trial(math.inf, "late"), Trial(2.0)])
    }
    assert found["invalidation_max_ms"].value == math.inf
    assert found["invalidation_p50_ms"].value == 3.0
    assert found["invalidation_max_ms"].detail == "1 of 3 trials failed: late"


def test_no_trials_are_no_value() -> None:
    """Nothing tried is missing data."""
    assert [each.value for each in summarise([])] == [None, None]

from perfcheck_embedded import RestartBudget, RestartPolicy

_POLICY = RestartPolicy(quick_restarts_max=4, steady_s=10.0, delay_first_s=0.5, delay_max_s=2.0)


def test_delays_double_up_to_the_bound_and_then_end() -> None:
    """Quick deaths are followed by longer pauses, and after the allowed number by none."""
    budget = RestartBudget(_POLICY)

    assert [budget.died(now) for now in range(5)] == [0.5, 1.0, 2.0, 2.0, None]


def test_a_steady_time_gives_a_clean_slate() -> None:
    """A process that was ready long enough before it died starts with the first delay again."""
    budget = RestartBudget(_POLICY)
    for now in range(4):
        budget.died(now)
    budget.became_ready(100.0)

    assert budget.died(110.0) == 0.5


def test_being_ready_for_a_moment_does_not_count() -> None:
    """A process that answers and dies again at once is still counted as quick."""
    budget = RestartBudget(_POLICY)
    delays = []
    for now in range(5):
        budget.became_ready(float(now))
        delays.append(budget.died(now + 0.9))

    assert delays == [0.5, 1.0, 2.0, 2.0, None]


def test_time_without_being_ready_does_not_count() -> None:
    """Long attempts that never became ready are no steady time."""
    budget = RestartBudget(_POLICY)

    assert [budget.died(60.0 * attempt) for attempt in range(5)][-1] is None

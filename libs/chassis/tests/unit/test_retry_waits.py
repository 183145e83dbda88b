from perfcheck_chassis.backoff import Backoff


def test_waits_double_up_to_a_bound_and_begin_again() -> None:
    """Without jitter each wait is twice the one before, until success resets them."""
    backoff = Backoff(first_s=1, max_s=5, jitter=lambda: 1.0)
    assert [backoff.next_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.next_s() == 1


def test_jitter_takes_at_most_half() -> None:
    """However the dice fall, a wait is never none."""
    backoff = Backoff(first_s=1, max_s=5, jitter=lambda: 0.0)
    assert [backoff.next_s() for _ in range(4)] == [0.5, 1, 2, 2.5]

"""Waits between attempts double, are bounded, and are drawn."""

from asgi_isr.backoff import Backoff, wait_s
from hypothesis import given
from hypothesis import strategies as st


def test_waits_double_up_to_a_bound_and_begin_again() -> None:
    """Without jitter each wait is twice the one before, until success resets them."""
    backoff = Backoff(first_s=1, max_s=5, jitter=lambda: 1.0)
    assert [backoff.next_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    assert backoff.failures == 5
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_s() == 1


def test_jitter_takes_at_most_half() -> None:
    """However the dice fall, a wait is never none."""
    backoff = Backoff(first_s=1, max_s=5, jitter=lambda: 0.0)
    assert [backoff.next_s() for _ in range(4)] == [0.5, 1, 2, 2.5]


@given(attempt=st.integers(0, 10**6), drawn=st.floats(0, 1))
def test_every_wait_is_within_its_bounds(attempt: int, drawn: float) -> None:
    """No attempt waits less than half of the first wait, nor more than the longest."""
    assert 0.05 <= wait_s(attempt, first_s=0.1, max_s=2.0, drawn=drawn) <= 2.0

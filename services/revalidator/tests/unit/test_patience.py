"""How long what fails for now is tried again."""

from datetime import UTC, datetime, timedelta

from perfcheck_revalidator.work.event_work import DELIVERIES_MIN, FAILING_S_MAX, over
from perfcheck_revalidator.work.original import Original
from perfcheck_revalidator.work.worker import RETRY_S_MAX, retry_s


def test_a_failure_that_may_pass_is_borne_for_a_day() -> None:
    """Only an event that failed often, and for a day, is given up."""
    published = datetime(2026, 1, 2, tzinfo=UTC)
    original = Original(1, "cache.invalidations.v1.api", {}, b"", published, DELIVERIES_MIN)
    day_later_s = (published + timedelta(seconds=FAILING_S_MAX)).timestamp()
    assert over(original, day_later_s)
    assert not over(original, day_later_s - 1)
    assert not over(original._replace(deliveries=DELIVERIES_MIN - 1), day_later_s)


def test_waits_between_attempts_grow_to_minutes() -> None:
    """The first attempt comes again within a second or so, later ones after minutes."""
    assert 0.5 <= retry_s(1) <= 1
    assert all(RETRY_S_MAX / 2 <= retry_s(count) <= RETRY_S_MAX for count in (10, 100, 10_000))

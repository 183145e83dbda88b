from perfcheck_api.invalidations.rate_limit import Allowance, RateLimit


def test_a_burst_then_the_rate() -> None:
    """Twice the rate at once, then one for each interval, and never more saved up than a burst."""
    limit = RateLimit(10)
    assert sum(limit.take("a", 0.0).allowed for _ in range(30)) == 20
    assert [limit.take("a", 0.1).allowed for _ in range(2)] == [True, False]
    assert sum(limit.take("a", 1000.0).allowed for _ in range(30)) == 20


def test_subjects_do_not_share() -> None:
    """One that has used up its calls takes none from another."""
    limit = RateLimit(0.5)
    assert limit.take("a", 0.0) == Allowance(allowed=True, remaining=0, wait_s=2.0)
    assert limit.take("a", 0.5) == Allowance(allowed=False, remaining=0, wait_s=1.5)
    assert limit.take("b", 0.5).allowed


def test_a_refusal_says_when_to_come_back() -> None:
    """Who comes after that time is let in."""
    limit = RateLimit(4)
    while (refused := limit.take("a", 0.0)).allowed:
        pass
    assert limit.headers(refused)["Retry-After"] == "1"
    assert limit.take("a", refused.wait_s).allowed


def test_the_table_is_bounded() -> None:
    """The subject that has not called for longest is forgotten first."""
    limit = RateLimit(0.5, subjects_max=2)
    for subject in ("a", "b", "a", "c"):
        limit.take(subject, 0.0)
    assert not limit.take("a", 0.0).allowed
    assert limit.take("b", 0.0).allowed

import pytest
from perfcheck_revalidator.cdn.price import Budget, Counter, CounterError, paths_max

NOVEMBER = 1_795_500_000.0  # 2026-11-24
DECEMBER = NOVEMBER + 10 * 86_400


class Calendar:
    """A clock whose date is set."""

    def __init__(self) -> None:
        self.date = NOVEMBER

    def monotonic(self) -> float:
        """Return the same time."""
        return self.date

    def wall(self) -> float:
        """Return the date in seconds since 1970."""
        return self.date


class SharedCount(Counter):
    """A counter in memory that can be down, or lose its answers."""

    def __init__(self) -> None:
        self.sums: dict[str, int] = {}
        self.down = False

    async def add(self, key: str, number: int, *, ttl_s: int) -> int:
        """Add, or fail."""
        if self.down:
            raise CounterError("the store is down")
        assert ttl_s > 31 * 86_400
        self.sums[key] = self.sums.get(key, 0) + number
        return self.sums[key]

    async def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def calendar() -> Calendar:
    """Give a day in November."""
    return Calendar()


@pytest.fixture
def shared() -> SharedCount:
    """Give an empty counter."""
    return SharedCount()


def budget_of(shared: SharedCount, calendar: Calendar, usd: float = 0.0) -> Budget:
    """Return one instance's budget."""
    return Budget(shared, calendar, usd_per_month_max=usd, distribution_id="D1")


@pytest.mark.parametrize(
    ("usd", "paths"), [(0, 1000), (0.005, 1001), (0.3, 1060), (50, 11_000), (0.0049, 1000)]
)
def test_price(usd: float, paths: int) -> None:
    """The first 1,000 paths are free, each further one costs half a cent."""
    assert paths_max(usd) == paths


async def test_cap_counts_all_instances(shared: SharedCount, calendar: Calendar) -> None:
    """What others submitted counts; over the cap the reason says cap, count and remedy."""
    one, other = budget_of(shared, calendar), budget_of(shared, calendar)
    assert await one.take(600) is None
    assert await other.take(400) is None
    refusal = await one.take(1)
    assert refusal is not None
    assert "the cap of 0 USD a month allows 1000 paths" in refusal
    assert "1 more on top of 1000 in 2026-11" in refusal
    assert "PERFCHECK_CDN_USD_PER_MONTH_MAX" in refusal
    await other.give_back(1)
    assert await one.take(1) is None


async def test_refusal_does_not_count(shared: SharedCount, calendar: Calendar) -> None:
    """A purge that was refused leaves room for a smaller one."""
    budget = budget_of(shared, calendar)
    assert await budget.take(999) is None
    assert await budget.take(2) is not None
    assert await budget.take(1) is None


async def test_month_begins_anew(shared: SharedCount, calendar: Calendar) -> None:
    """With a new month (UTC) the free paths are there again."""
    budget = budget_of(shared, calendar)
    assert await budget.take(1000) is None
    calendar.date = DECEMBER
    assert await budget.take(1000) is None
    assert list(shared.sums) == ["cdn-paths:D1:2026-11", "cdn-paths:D1:2026-12"]


async def test_counts_alone_while_the_store_is_down(
    shared: SharedCount, calendar: Calendar
) -> None:
    """Without the store the cap still holds in this process; later the store learns the count."""
    budget = budget_of(shared, calendar)
    assert await budget.take(600) is None
    shared.down = True
    assert await budget.take(300) is None
    assert budget.unhealthy_reason is not None
    assert "in this process alone" in budget.unhealthy_reason
    assert await budget.take(101) is not None
    shared.down = False
    assert await budget.take(100) is None
    assert budget.unhealthy_reason is None
    assert shared.sums == {"cdn-paths:D1:2026-11": 1000}

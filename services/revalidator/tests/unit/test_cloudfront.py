import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from asgi_isr.testing import eventually
from perfcheck_contracts import CdnPurge
from perfcheck_revalidator.cdn.batches import PURGED_S
from perfcheck_revalidator.cdn.cloudfront import POLL_FIRST_S, CloudFront
from perfcheck_revalidator.cdn.cloudfront_api import CloudFrontApi, CloudFrontError, error_of
from perfcheck_revalidator.cdn.port import CdnError, PurgeEvent
from perfcheck_revalidator.cdn.price import Budget

WINDOW_S = 0.02


class SteppingClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1_795_500_000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    def wall(self) -> float:
        """Return the same time."""
        return self.now


class LocalCount:
    """A counter in memory."""

    def __init__(self) -> None:
        self.sum = 0

    async def add(self, key: str, number: int, *, ttl_s: int) -> int:  # noqa: ARG002  one key
        """Add."""
        self.sum += number
        return self.sum

    async def close(self) -> None:
        """Do nothing."""


class Distribution(CloudFrontApi):
    """CloudFront in memory: the same reference is the same invalidation, failures are planned."""

    def __init__(self) -> None:
        super().__init__("D1")
        self.invalidations: dict[str, list[str]] = {}  # reference -> items
        self.failures: list[CloudFrontError] = []
        self.invalidations_max = 15
        self.lost_answers = 0
        self.calls = 0
        self.frozen = False
        self.done = False

    async def create(self, reference: str, items: Sequence[str]) -> str:
        """Fail as planned, or create."""
        self.calls += 1
        if "#poison" in items:
            raise error_of("InvalidArgument", 400, "no such tag")
        if self.failures:
            raise self.failures.pop(0)
        full = len(self.invalidations) >= self.invalidations_max
        if full and reference not in self.invalidations:
            raise error_of("TooManyInvalidationsInProgress", 400, "too many")
        self.invalidations.setdefault(reference, list(items))
        if self.frozen:
            await asyncio.Event().wait()
        if self.lost_answers:
            self.lost_answers -= 1
            raise error_of("", 503, "Service Unavailable")
        return f"I{list(self.invalidations).index(reference)}"

    async def status(self, invalidation_id: str) -> str:
        """Say whether it is done."""
        assert invalidation_id.startswith("I")
        self.calls += 1
        return "Completed" if self.done else "InProgress"


@dataclass
class Front:
    """A CDN over a distribution in memory."""

    distribution: Distribution = field(default_factory=Distribution)
    clock: SteppingClock = field(default_factory=SteppingClock)
    count: LocalCount = field(default_factory=LocalCount)

    def cdn(self, usd: float = 50.0) -> CloudFront:
        """Return one instance's."""
        budget = Budget(self.count, self.clock, usd_per_month_max=usd, distribution_id="D1")
        return CloudFront(
            self.distribution, budget, self.clock, window_s=WINDOW_S, jitter=lambda: 1.0
        )


@pytest.fixture
def front() -> Front:
    """Give a distribution without invalidations."""
    return Front()


async def purge(cdn: CloudFront, *names: str, again: bool = False) -> list[CdnPurge]:
    """Purge the events `names`, each of which names a tag like itself."""
    async with asyncio.timeout(5):
        return await cdn.purge([PurgeEvent(name, (name,), ()) for name in names], again=again)


async def test_a_window_becomes_one_invalidation(front: Front) -> None:
    """Calls within the window share an invalidation with each item once; each gets its receipt."""
    cdn = front.cdn()
    answers = await asyncio.gather(purge(cdn, "b", "a"), purge(cdn, "c"), purge(cdn, "a"))
    assert list(front.distribution.invalidations.values()) == [["#a", "#b", "#c"]]
    assert [len(purges) for purges in answers] == [2, 1, 1]
    assert {one.reference for purges in answers for one in purges} == {"I0"}
    assert {one.status for purges in answers for one in purges} == {"submitted"}
    assert front.count.sum == 3


async def test_second_purge_is_another_one(front: Front) -> None:
    """The purge after the request time limit is an invalidation of its own, in any window."""
    cdn = front.cdn()
    first, second = await asyncio.gather(purge(cdn, "a"), purge(cdn, "a", again=True))
    assert [first[0].again, second[0].again] == [False, True]
    assert first[0].reference != second[0].reference
    assert len(front.distribution.invalidations) == 2


async def test_delivered_twice_is_purged_once(front: Front) -> None:
    """An event that comes again is answered from memory, and purged again after that has ended."""
    cdn = front.cdn()
    first = await purge(cdn, "a")
    assert await purge(cdn, "a") == first
    assert front.distribution.calls == 1
    front.clock.now += PURGED_S
    await purge(cdn, "a")
    assert front.distribution.calls == 2


async def test_lost_answer_is_retried_as_the_same_request(front: Front) -> None:
    """After a lost answer the same events, in whatever company, make nothing a second time."""
    cdn = front.cdn()
    front.distribution.lost_answers = 1
    with pytest.raises(CdnError) as caught:
        await purge(cdn, "a", "b")
    assert not caught.value.permanent
    assert caught.value.retry_after_s == 1.0
    front.clock.now += 1.0
    (a,), (c, b) = await asyncio.gather(purge(cdn, "a"), purge(cdn, "c", "b"))
    assert list(front.distribution.invalidations.values()) == [["#a", "#b"], ["#c"]]
    assert (a.reference, b.reference, c.reference) == ("I0", "I0", "I1")
    assert front.count.sum == 3


async def test_throttling_doubles_the_wait(front: Front) -> None:
    """While CloudFront throttles it is asked after 1, 2, 4 … 60 s, and not in between."""
    cdn = front.cdn()
    waits = []
    for _ in range(8):
        front.distribution.failures = [error_of("Throttling", 400, "Rate exceeded")]
        with pytest.raises(CdnError) as caught:
            await purge(cdn, "a")
        wait_s = caught.value.retry_after_s
        assert wait_s is not None
        calls = front.distribution.calls
        with pytest.raises(CdnError, match="left alone"):
            await purge(cdn, "b")
        assert front.distribution.calls == calls
        waits.append(wait_s)
        front.clock.now += wait_s
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert cdn.unhealthy_reason is not None
    assert front.count.sum == 0
    await purge(cdn, "a")
    assert cdn.unhealthy_reason is None
    assert front.count.sum == 1


async def test_denied_is_permanent_and_not_counted(front: Front) -> None:
    """What AWS refuses for good is said in its words, costs nothing, and holds up no other."""
    cdn = front.cdn()
    front.distribution.failures = [error_of("AccessDenied", 403, "User is not authorized")]
    with pytest.raises(CdnError, match="User is not authorized") as caught:
        await purge(cdn, "a")
    assert caught.value.permanent
    assert front.count.sum == 0
    await purge(cdn, "b")


async def test_one_bad_event_costs_no_other(front: Front) -> None:
    """Where CloudFront refuses the names of a batch, each event is tried alone; one fails."""
    cdn = front.cdn()
    with pytest.raises(CdnError, match="alone") as caught:
        await purge(cdn, "a", "poison", "b")
    assert not caught.value.permanent
    front.clock.now += caught.value.retry_after_s or 0.0
    a, poison, b = await purge(cdn, "a", "poison", "b")
    assert (a.status, b.status, poison.status) == ("submitted", "submitted", "refused")
    assert "InvalidArgument: no such tag" in poison.detail
    with pytest.raises(CdnError, match="no such tag") as caught:
        await purge(cdn, "poison")
    assert caught.value.permanent
    assert list(front.distribution.invalidations.values()) == [["#a"], ["#b"]]
    assert front.count.sum == 2


async def test_names_that_no_page_has_are_not_sent(front: Front) -> None:
    """An event that names nothing a page could have is complete, and calls nobody."""
    (done,) = await front.cdn().purge([PurgeEvent("e1", ("a b", "", "ä"), ("x",))], again=False)
    assert done.status == "completed"
    assert "no page can have" in done.detail
    assert front.distribution.calls == 0
    assert front.count.sum == 0


async def test_over_the_cap_is_refused_with_words(front: Front) -> None:
    """A purge over the monthly cap is refused in its receipt, and nothing is sent."""
    cdn = front.cdn(usd=0)
    front.count.sum = 1000
    (refused,) = await purge(cdn, "a")
    assert refused.status == "refused"
    assert "PERFCHECK_CDN_USD_PER_MONTH_MAX" in refused.detail
    assert front.distribution.calls == 0
    assert cdn.unhealthy_reason is not None
    assert await cdn.completed(refused) == refused
    front.count.sum = 0
    assert (await purge(cdn, "a"))[0].status == "submitted"


async def test_cancelled_leader_fails_no_one_for_good(front: Front) -> None:
    """If the call that submits is cancelled, the others are told to retry, and that joins it."""
    cdn = front.cdn()
    front.distribution.frozen = True
    async with asyncio.TaskGroup() as tasks:
        leader = tasks.create_task(purge(cdn, "a"))
        await asyncio.sleep(0)
        other = tasks.create_task(_error_of(purge_of=cdn, name="b"))
        await eventually(lambda: front.distribution.invalidations)
        leader.cancel()
    error = other.result()
    assert not error.permanent
    front.distribution.frozen = False
    await purge(cdn, "b")
    assert list(front.distribution.invalidations.values()) == [["#a", "#b"]]


async def _error_of(*, purge_of: CloudFront, name: str) -> CdnError:
    with pytest.raises(CdnError) as caught:
        await purge(purge_of, name)
    return caught.value


async def test_large_events_are_chunked_and_finished_piece_by_piece(front: Front) -> None:
    """More items than one invalidation takes make several; a retry creates the missing ones."""
    cdn = front.cdn()
    events = [
        PurgeEvent(f"e{number}", tuple(f"t{number}-{tag}" for tag in range(900)), ())
        for number in range(4)
    ]
    front.distribution.invalidations_max = 1
    with pytest.raises(CdnError, match="too many"):
        await cdn.purge(events, again=False)
    front.distribution.invalidations_max = 15
    front.clock.now += 1.0
    purges = await cdn.purge(events, again=False)
    sizes = [len(items) for items in front.distribution.invalidations.values()]
    assert sizes == [3000, 600]
    assert {one.reference for one in purges} == {"I0,I1"}
    assert front.count.sum == 3600
    assert await cdn.completed(purges[0]) is None
    front.distribution.done = True
    front.clock.now += 5.0
    assert await cdn.completed(purges[0]) is not None


async def test_completion_is_polled_within_bounds(front: Front) -> None:
    """CloudFront is asked about an invalidation once for all its events, after 1 to 5 seconds."""
    cdn = front.cdn()
    one, two = await purge(cdn, "a", "b")
    before = front.distribution.calls
    assert await cdn.completed(one) is None
    assert await cdn.completed(two) is None
    assert front.distribution.calls == before + 1
    front.distribution.done = True
    assert await cdn.completed(one) is None
    front.clock.now += POLL_FIRST_S
    done, also = await cdn.completed(one), await cdn.completed(two)
    assert front.distribution.calls == before + 2
    assert done is not None
    assert also is not None
    assert done.status == "completed"
    assert done.completed_at == also.completed_at
    assert done.completed_at is not None
    assert done.completed_at.timestamp() == front.clock.now

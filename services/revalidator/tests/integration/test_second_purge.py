"""The second purge on a real link, after its time (rule 10)."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from asgi_isr import Invalidation
from asgi_isr.logs.nats import Instances, NatsLog
from asgi_isr.nats import Link
from asgi_isr.ports import SystemClock
from asgi_isr.testing import eventually
from perfcheck_contracts import EVENT_CONSUMER_AGAIN, LOG_API, CdnPurge
from perfcheck_embedded import Servers
from perfcheck_revalidator.cdn.port import CdnError, PurgeEvent
from perfcheck_revalidator.metrics import Metrics
from perfcheck_revalidator.work.dead_letters import DeadLetters
from perfcheck_revalidator.work.event_work import EventWork
from perfcheck_revalidator.work.purging import Purger, Purgers
from perfcheck_revalidator.work.queue import Queue
from perfcheck_revalidator.work.receipts import Receipts
from perfcheck_revalidator.work.second_purge import SecondPurge
from perfcheck_revalidator.work.worker import Worker

pytestmark = pytest.mark.integration

AGE_S = 0.8


class Edge:
    """A CDN that notes when it was asked for what, and fails as often as it is told to."""

    name = "edge"

    def __init__(self) -> None:
        self.failures: list[CdnError] = []
        self.calls: list[tuple[float, list[str], bool]] = []

    async def purge(self, events: Sequence[PurgeEvent], *, again: bool) -> list[CdnPurge]:
        """Take the purge, or raise the next failure."""
        self.calls.append((time.time(), [event.id for event in events], again))  # noqa: TID251  compared with the broker's
        if self.failures:
            raise self.failures.pop(0)
        purge = CdnPurge(provider=self.name, again=again, status="completed")
        return [purge] * len(events)

    async def completed(self, purge: CdnPurge) -> CdnPurge | None:
        """Say that it is done."""
        return purge

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
async def edge(running: Servers, publisher: NatsLog) -> AsyncIterator[Edge]:
    """Give a CDN that the second purge of a running worker goes to."""
    assert await publisher.bounds()  # the log exists
    url = running.nats_urls["revalidator"]
    link, observer = Link(url, name="test"), Instances(url, name="test", api_prefix=LOG_API)
    metrics, clock, asked = Metrics(), SystemClock(), Edge()
    receipts = Receipts(link, clock)
    purgers = Purgers([Purger(asked, metrics, clock)])
    work = EventWork(
        observer, receipts, DeadLetters(link, clock), metrics=metrics, clock=clock, lease_s=1
    )
    again = SecondPurge(
        purgers, receipts, work.dead_letter, metrics=metrics, clock=clock, age_s=AGE_S
    )
    worker = Worker(Queue(link, EVENT_CONSUMER_AGAIN), again.handle, metrics, gather_s=0.05)
    task = asyncio.ensure_future(worker.run())
    yield asked
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    await link.close()


async def part(receiver: Any, event_id: str) -> CdnPurge:
    """Wait for the second purge in a receipt."""
    purges: list[CdnPurge] = await eventually(
        lambda: getattr(receiver.receipts.get(event_id), "cdn", None), timeout_s=15
    )
    return purges[0]


async def test_events_are_purged_again_after_their_time(
    edge: Edge, publisher: NatsLog, receiver: Any
) -> None:
    """Events of one moment are purged with one call, and not before the age that was asked for."""
    began_s = time.time()  # noqa: TID251  compared with the broker's
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(publisher.publish(Invalidation(tags=("a",)), "api", f"id-{number}"))
    for number in range(20):
        assert (await part(receiver, f"id-{number}")).again
    assert len(edge.calls) <= 5
    assert all(again for _, _, again in edge.calls)
    assert edge.calls[0][0] >= began_s + AGE_S
    assert sorted(name.split()[1] for _, names, _ in edge.calls for name in names) == sorted(
        f"id-{number}" for number in range(20)
    )


async def test_a_second_purge_that_fails_for_now_is_tried_again_and_for_good_is_a_dead_letter(
    edge: Edge, publisher: NatsLog, receiver: Any
) -> None:
    """Throttled it comes again; refused for good, the receipt says that it was the second purge."""
    edge.failures = [CdnError("slow down")]
    await publisher.publish(Invalidation(tags=("a",)), "api", "id-1")
    assert (await part(receiver, "id-1")).status == "completed"
    assert len(edge.calls) == 2
    edge.failures = [CdnError("no such distribution", permanent=True)]
    await publisher.publish(Invalidation(tags=("a",)), "api", "id-2")
    receipt = await receiver.stage("id-2", "dead")
    assert receipt.dead == "second purge: no such distribution"

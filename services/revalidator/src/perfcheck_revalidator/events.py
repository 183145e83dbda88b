"""Everything that works on events, put together: queues, work, warming, dead letters."""

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from asgi_isr.coherence import Observer
from asgi_isr.nats import Link
from asgi_isr.ports import Clock
from perfcheck_chassis.http import Health
from perfcheck_chassis.http_client import ServiceClient
from perfcheck_chassis.process import background_tasks
from perfcheck_contracts import EVENT_CONSUMER_AGAIN, EVENT_CONSUMER_FIRST
from perfcheck_contracts.limits import REQUEST_S

from perfcheck_revalidator.cdn.port import Cdn
from perfcheck_revalidator.cdn.settings import unhealthy_reason_of
from perfcheck_revalidator.metrics import Metrics
from perfcheck_revalidator.settings import Settings
from perfcheck_revalidator.warming.popularity import Popularity
from perfcheck_revalidator.warming.rounds import Warmer, listen
from perfcheck_revalidator.work.dead_letter_routes import DeadLetterService
from perfcheck_revalidator.work.dead_letters import DeadLetters
from perfcheck_revalidator.work.event_work import LEASE_MARGIN_S, EventWork
from perfcheck_revalidator.work.purging import Purger, Purgers
from perfcheck_revalidator.work.queue import Queue
from perfcheck_revalidator.work.receipts import Receipts
from perfcheck_revalidator.work.second_purge import GATHER_S, SecondPurge
from perfcheck_revalidator.work.worker import Worker

__all__ = ["Events"]

_BFF_ANSWER_S = 25.0  # above any time that a round gives


class Events:
    """The parts of one replica; `running` opens them and runs their loops."""

    def __init__(
        self,
        settings: Settings,
        observer: Observer,
        cdns: Sequence[Cdn],
        *,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._observer = observer
        self._cdns = cdns
        self._link = Link(
            settings.nats_url.reveal(), name=settings.service, tls_ca_file=settings.tls_ca_file
        )
        self._queue = Queue(self._link, EVENT_CONSUMER_FIRST)
        self._again_queue = Queue(self._link, EVENT_CONSUMER_AGAIN)
        self._receipts = Receipts(self._link, clock)
        letters = DeadLetters(self._link, clock)
        self._popularity = Popularity(clock)
        self._bff = _bff(settings)
        self._warmer = self._new_warmer(settings, metrics, clock)
        purger = Purgers([Purger(cdn, metrics, clock) for cdn in cdns]) if cdns else None
        work = EventWork(
            observer, self._receipts, letters, metrics=metrics, clock=clock,
            lease_s=settings.lease_s, warm=self._warmer, purger=purger,
        )  # fmt: skip
        self._worker = Worker(self._queue, work.handle, metrics)
        self._again_worker: Worker | None = None
        if purger is not None:
            again = SecondPurge(
                purger, self._receipts, work.dead_letter, metrics=metrics, clock=clock,
                age_s=settings.lease_s + LEASE_MARGIN_S + REQUEST_S,
            )  # fmt: skip
            self._again_worker = Worker(self._again_queue, again.handle, metrics, gather_s=GATHER_S)
        self._outlets = {"receipts": self._receipts.outlet, "dead letters": letters.outlet}
        self.dead_letters = DeadLetterService(letters, work)

    def _new_warmer(self, settings: Settings, metrics: Metrics, clock: Clock) -> Warmer | None:
        if self._bff is None:
            return None
        keys = settings.token_keys()

        def issue_token() -> str:
            return keys.issue(
                subject=settings.service, audience="frontend-bff", scopes=["cache:warm"]
            )

        return Warmer(
            self._bff, self._popularity, self._receipts, issue_token=issue_token, metrics=metrics,
            clock=clock, concurrency=settings.warm_concurrency, budget_s=settings.warm_budget_s,
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run all loops; at the end what is not settled is given back, then connections close."""
        works: dict[str, Coroutine[Any, Any, None]] = {
            "instances": self._observer.run(),
            "work": self._worker.run(),
        }
        if self._again_worker is not None:
            works["second purge"] = self._again_worker.run()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._link.close)
            for cdn in self._cdns:
                stack.push_async_callback(cdn.close)
            if self._warmer is not None and self._bff is not None:
                await stack.enter_async_context(self._bff)
                works["warming"] = self._warmer.run()
                works["popular pages"] = listen(self._link, self._popularity)
            await stack.enter_async_context(
                background_tasks(**works)  # type: ignore[arg-type]  # `on_end` is no loop
            )
            yield

    def add_checks(self, health: Health) -> None:
        """Add what this replica can tell about its work; none of it takes the replica out."""

        async def work() -> str | None:
            reason = self._queue.unhealthy_reason
            if reason is None and self._again_worker is not None:
                reason = self._again_queue.unhealthy_reason
            for name, outlet in self._outlets.items():
                if reason is None and outlet.unhealthy_reason is not None:
                    reason = f"{name}: {outlet.unhealthy_reason}"
            return reason

        async def warm() -> str | None:
            return None if self._warmer is None else self._warmer.unhealthy_reason

        async def cdn() -> str | None:
            return unhealthy_reason_of(self._cdns)

        if self._cdns:
            health.add("cdn", cdn, required=False)
        health.add("work", work, required=False)
        health.add("instances", self._observer.unhealthy_reason, required=False)
        if self._warmer is not None:
            health.add("bff", warm, required=False)


def _bff(settings: Settings) -> ServiceClient | None:
    if not settings.bff_url:
        return None
    return ServiceClient(
        settings.bff_url,
        neighbour="frontend-bff",
        timeout_s=_BFF_ANSWER_S,
        connections_max=settings.warm_concurrency,
    )

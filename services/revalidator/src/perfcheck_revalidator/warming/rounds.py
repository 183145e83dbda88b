"""Rendering popular pages again, before somebody asks: in rounds, beside everything else.

A round takes all events that wait and asks a BFF for each page once, for the latest event that hit
it. So a burst of events costs no more renders than there are pages. Nothing waits for a round:
neither receipt, nor CDN, nor acknowledgement; what a killed replica had not warmed stays cold.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from http import HTTPStatus

import msgspec
from asgi_isr.errors import LogUnavailableError
from asgi_isr.nats import Link
from asgi_isr.ports import Clock
from asgi_isr.reports import POPULAR_SUBJECT_PREFIX
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from perfcheck_chassis.http_client import NeighbourError, ServiceClient
from perfcheck_chassis.identity import TokenError
from perfcheck_contracts import WARM_PATHS_MAX, Warmed, WarmResult, WarmWrite

from perfcheck_revalidator.metrics import Metrics
from perfcheck_revalidator.warming.popularity import Plan, Popularity
from perfcheck_revalidator.work.original import Event
from perfcheck_revalidator.work.receipts import Receipts, with_warmed

__all__ = ["WARM_PATH", "Outcome", "Warmer", "listen", "warmed"]

WARM_PATH = "/api/cache/warm"
WARM_EVENTS_MAX = 4096  # events
# Instances tell what an event hit just after they report its position.
_TELL_S = 0.05
_CHUNK = min(20, WARM_PATHS_MAX)  # small, so that several BFFs share the pages
_BFF_MARGIN_S = 1.0  # what an answer may take beyond the time given to the renders
_LISTEN_S = 1.0
_log = logging.getLogger(__name__)

_decoder = msgspec.json.Decoder(WarmResult)


class Outcome:
    """How the pages of a round ended; what is in neither set was left."""

    def __init__(self) -> None:
        self.rendered: set[str] = set()
        self.failed: set[str] = set()


def warmed(paths: Sequence[str], outcome: Outcome, ms: float) -> Warmed:
    """Return what became of an event's pages."""
    rendered = sum(path in outcome.rendered for path in paths)
    failed = sum(path in outcome.failed for path in paths)
    return Warmed(
        pages=rendered, failed=failed, left=len(paths) - rendered - failed, ms=round(ms, 3)
    )


class Warmer:
    """Rounds of warming; `issue_token` returns the token that the BFF asks for."""

    def __init__(
        self, bff: ServiceClient, popularity: Popularity, receipts: Receipts, *,
        issue_token: Callable[[], str], metrics: Metrics, clock: Clock,
        concurrency: int, budget_s: float,
    ) -> None:  # fmt: skip
        self.unhealthy_reason: str | None = None
        self._bff = bff
        self._popularity = popularity
        self._receipts = receipts
        self._issue_token = issue_token
        self._metrics = metrics
        self._clock = clock
        self._concurrency = concurrency
        self._budget_s = budget_s
        self._waiting: deque[Event] = deque(maxlen=WARM_EVENTS_MAX)
        self._wake: asyncio.Event | None = None

    def submit(self, events: Sequence[Event]) -> None:
        """Take `events`; over the bound the oldest are not warmed."""
        self._waiting.extend(events)
        if self._wake is not None:
            self._wake.set()

    async def run(self) -> None:
        """Warm until cancelled, first what was submitted before."""
        self._wake = wake = asyncio.Event()  # of this event loop
        wake.set()
        while True:
            await wake.wait()
            wake.clear()
            await asyncio.sleep(_TELL_S)
            events = list(self._waiting)
            self._waiting.clear()
            await self._round(events)

    async def _round(self, events: Sequence[Event]) -> None:
        plan = Plan({event.seq: self._popularity.pages(event.seq) for event in events})
        if not plan.paths:
            return
        started_s = self._clock.monotonic()
        outcome = await self._render(plan, started_s + self._budget_s)
        taken_s = self._clock.monotonic() - started_s
        self._metrics.warm.observe(taken_s)
        self._metrics.warmed.inc(len(outcome.rendered))
        self._metrics.warm_failed.inc(len(outcome.failed))
        left = len(plan.paths) - len(outcome.rendered) - len(outcome.failed)
        self._metrics.warm_left.inc(left)
        await self._receipts.publish(
            [
                with_warmed(event, warmed(list(pages), outcome, taken_s * 1000))
                for event in events
                if (pages := plan.by_event[event.seq])
            ]
        )

    async def _render(self, plan: Plan, deadline_s: float) -> Outcome:
        outcome = Outcome()
        chunks = iter(plan.chunks(_CHUNK))

        async def ask() -> None:
            for seq, paths in chunks:  # shared: each chunk is taken by one
                remaining_s = deadline_s - self._clock.monotonic()
                if remaining_s <= 0:
                    return
                await self._ask(seq, paths, remaining_s, outcome)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(ask())
        return outcome

    async def _ask(self, seq: int, paths: list[str], remaining_s: float, outcome: Outcome) -> None:
        """Have one BFF render `paths`; whatever goes wrong, they have failed and no more."""
        body = msgspec.json.encode(WarmWrite(seq=seq, paths=paths, timeout_s=remaining_s))
        try:
            headers = {
                "authorization": f"Bearer {self._issue_token()}",
                "content-type": "application/json",
            }
            async with asyncio.timeout(remaining_s + _BFF_MARGIN_S):
                reply = await self._bff.post(WARM_PATH, body, headers=headers)
            if reply.status != HTTPStatus.OK:
                text = reply.body[:200].decode(errors="replace")
                self._failed(f"the BFF answered {reply.status}: {text}")
                outcome.failed.update(paths)
                return
            pages = _decoder.decode(reply.body).pages
        except (NeighbourError, TokenError, TimeoutError, msgspec.MsgspecError) as error:
            self._failed(str(error) or "the BFF did not answer in time")
            outcome.failed.update(paths)
            return
        self._succeeded()
        for page in pages:
            good = page.status < HTTPStatus.INTERNAL_SERVER_ERROR
            (outcome.rendered if good else outcome.failed).add(page.path)

    def _failed(self, reason: str) -> None:
        if self.unhealthy_reason is None:
            _log.warning("popular pages are not rendered again: %s", reason)
        self.unhealthy_reason = reason

    def _succeeded(self) -> None:
        if self.unhealthy_reason is not None:
            _log.info("popular pages are rendered again")
        self.unhealthy_reason = None


async def listen(link: Link, popularity: Popularity) -> None:
    """Hear what instances tell about popular pages until cancelled, also after a new connection."""

    async def note(message: Msg) -> None:
        popularity.note(message.data)

    heard: Client | None = None
    while True:
        try:
            client = await link.client()
            if client is not heard:
                await client.subscribe(f"{POPULAR_SUBJECT_PREFIX}.>", cb=note)
                heard = client
        except (LogUnavailableError, NatsError, OSError) as error:
            _log.debug("popular pages are not received, trying again: %s", error)
        await asyncio.sleep(_LISTEN_S)

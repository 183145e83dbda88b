"""`Instances`: an observer of the live set over NATS (rule 11)."""

import asyncio
import logging
import math
import random
from contextlib import suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from asgi_isr.backoff import Backoff
from asgi_isr.coherence.live_set import LiveSet, Progress, Reached
from asgi_isr.coherence.waiters import Waiters
from asgi_isr.errors import LogUnavailableError
from asgi_isr.logs.nats.registrations import decoded, load
from asgi_isr.nats.api import API_PREFIX, Api
from asgi_isr.nats.cancellation import end_if_cancelled, keeping_cancellation
from asgi_isr.nats.connection import close, connect
from asgi_isr.nats.link import NATS_REQUEST_S_MAX
from asgi_isr.ports import Clock, SystemClock
from asgi_isr.reports import INSTANCES_SUBJECT_PREFIX, POSITIONS_SUBJECT_PREFIX, Report

OBSERVER_RETRY_FIRST_S = 0.05
OBSERVER_RETRY_S_MAX = 2.0
REGISTRATIONS_LOAD_S_MAX = 10.0
OBSERVER_LOOK_S_MIN = 0.01
OBSERVER_LOOK_S = 0.5  # between two looks at leases that ended and at the connection
WAITERS_MAX = 10_000
REPORTS_PENDING_MAX = 65_536

_logger = logging.getLogger(__name__)


class _Hearing:
    """One subscription to registrations, and one to reports, since the client last connected."""

    def __init__(self, client: Client, subscriptions: list[Subscription]) -> None:
        self.subscriptions = subscriptions  # that to registrations is the first
        self._client = client
        self._reconnects = client.stats["reconnects"]

    def unbroken(self) -> bool:
        """Say whether nothing can have been missed so far as is known."""
        client = self._client
        return client.is_connected and client.stats["reconnects"] == self._reconnects

    def whole(self) -> bool:
        """Say whether no registration waits, perhaps overtaken by reports that came after it."""
        return self.unbroken() and not any(one.pending_msgs for one in self.subscriptions[:1])

    def idle(self) -> bool:
        """Say whether nothing waits that was heard."""
        return self.unbroken() and not any(one.pending_msgs for one in self.subscriptions)


class Instances:
    """Hears every instance's reports, and tells when something was applied everywhere.

    `connection` is a client of the caller's, who closes it, or a URL. Whatever may have cost a
    report (a broken connection, messages dropped) makes the live set incomplete until it was loaded
    again; until then nothing counts as applied everywhere. An instance counts as silent only while
    the broker answers here: a frozen connection says nothing of anybody's lease. `api_prefix` is as
    in `NatsLog`.
    """

    def __init__(
        self,
        connection: Client | str,
        *,
        name: str,
        clock: Clock | None = None,
        timeout_s: float = NATS_REQUEST_S_MAX,
        tls_ca_file: str = "",
        api_prefix: str = API_PREFIX,
    ) -> None:
        self._tls_ca_file = tls_ca_file
        self._api = Api(api_prefix)
        self._url = connection if isinstance(connection, str) else ""
        self._given = connection if isinstance(connection, Client) else None
        self._name = name
        self._clock = clock or SystemClock()
        self._timeout_s = timeout_s
        self._backoff = Backoff(
            first_s=OBSERVER_RETRY_FIRST_S, max_s=OBSERVER_RETRY_S_MAX, jitter=random.random
        )
        self._live = LiveSet()
        self._broken = asyncio.Event()
        self._hearing: _Hearing | None = None
        self._waiters = Waiters()
        self._unhealthy_reason: str | None = "has not connected yet"

    async def unhealthy_reason(self) -> str | None:
        """Return what is wrong, or None while the live set is known."""
        if self._unhealthy_reason is None and (
            self._hearing is None or not self._hearing.unbroken()
        ):
            return "not connected to NATS; reconnecting"
        return self._unhealthy_reason

    def reports(self) -> list[Report]:
        """Return the newest report of each live instance."""
        return self._live.reports()

    def applied(self, reached: Reached) -> Progress:
        """Return who has reached it, as known now."""
        return self._applied(reached, frozenset())

    def _applied(self, reached: Reached, asked: frozenset[str]) -> Progress:
        applied = self._live.applied(reached, asked)
        return applied._replace(everywhere=applied.everywhere and self._heard_all())

    def _heard_all(self) -> bool:
        """Say whether every registration that reached this process was taken in."""
        return self._live.complete and self._hearing is not None and self._hearing.whole()

    async def wait(self, reached: Reached, timeout_s: float) -> Progress:
        """Return once every live instance has reached it, or as far as it came in `timeout_s`."""
        asked = self._live.names()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._applied(reached, asked).everywhere:
                    if len(self._waiters) >= WAITERS_MAX:
                        break
                    # Until it seems to be applied everywhere: somebody may have entered since.
                    await self._waiters.wait(*reached)
        return self._applied(reached, asked)

    async def run(self) -> None:
        """Observe until cancelled; whatever breaks is tried again."""
        while True:
            try:
                await self._session()
            except Exception as error:
                end_if_cancelled(error)
                known = isinstance(error, LogUnavailableError | NatsError | OSError | TimeoutError)
                text = str(error) or type(error).__name__
                if text != self._unhealthy_reason or not known:
                    _logger.warning("the live set: %s", text, exc_info=not known)
                self._unhealthy_reason = text
            self._live.lost()
            await asyncio.sleep(self._backoff.next_s())

    async def _session(self) -> None:
        self._broken = asyncio.Event()  # of this event loop
        client = self._given or await connect(
            self._url, name=self._name, timeout_s=self._timeout_s, on_change=self._broken.set,
            tls_ca_file=self._tls_ca_file,
        )  # fmt: skip
        subscriptions: list[Subscription] = []
        try:
            hearing = self._hearing = _Hearing(client, subscriptions)
            for prefix in (INSTANCES_SUBJECT_PREFIX, POSITIONS_SUBJECT_PREFIX):
                subscription = await client.subscribe(
                    f"{prefix}.>", cb=self._received, pending_msgs_limit=REPORTS_PENDING_MAX
                )
                subscriptions.append(subscription)
            async with asyncio.timeout(REGISTRATIONS_LOAD_S_MAX):
                async with keeping_cancellation():
                    await client.flush()  # the server has the subscriptions now
                self._live.loaded(
                    await load(client, self._api, timeout_s=self._timeout_s),
                    self._clock.monotonic(),
                )
            self._unhealthy_reason = None
            self._backoff.reset()
            self._moved()
            while hearing.unbroken():
                await self._look(client, hearing)
        finally:
            self._live.lost()
            self._hearing = None
            await self._leave(client, subscriptions)
        raise LogUnavailableError("the connection to NATS broke")

    async def _look(self, client: Client, hearing: _Hearing) -> None:
        """Wait until something may have changed without a report."""
        end = self._live.next_end()
        left_s = OBSERVER_LOOK_S if end is None else end - self._clock.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(OBSERVER_LOOK_S, max(OBSERVER_LOOK_S_MIN, left_s))):
                await self._broken.wait()
        self._broken.clear()
        if not hearing.unbroken():
            return
        if not self._live.complete:
            raise LogUnavailableError("there are more instances than an observer can know of")
        if any(one.pending_msgs > REPORTS_PENDING_MAX // 2 for one in hearing.subscriptions):
            raise LogUnavailableError("reports come faster than they are read")
        asked_at = self._clock.monotonic()
        async with asyncio.timeout(self._timeout_s), keeping_cancellation():
            await client.flush()
        # What was said before the question was asked has come before its answer.
        if self._live.silent(asked_at, answered=hearing.idle()):
            self._moved()

    async def _received(self, message: Msg) -> None:
        report = decoded(message.subject, message.data)
        if report is None:
            self._live.ignored += 1
            return
        self._live.take(report, self._clock.monotonic())
        self._moved()

    def _moved(self) -> None:
        """Let those go on whose event was applied everywhere."""
        if not self._waiters or not self._heard_all():
            return
        for source in self._waiters.sources():
            level = self._live.everywhere(source)
            self._waiters.reach(source, math.inf if level is None else level)

    async def _leave(self, client: Client, subscriptions: list[Subscription]) -> None:
        if self._given is None:
            await close(client)
            return
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                for one in subscriptions:
                    await one.unsubscribe()

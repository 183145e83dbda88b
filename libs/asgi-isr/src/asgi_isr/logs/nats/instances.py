"""`Instances`: an observer of the live set over NATS (rule 11)."""

import asyncio
import heapq
import logging
import random
from contextlib import suppress
from datetime import datetime
from itertools import count
from typing import TypeVar

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from asgi_isr.errors import LogUnavailableError
from asgi_isr.live import (
    INSTANCES_STREAM,
    INSTANCES_SUBJECT_PREFIX,
    LEASE_S_MAX,
    POSITIONS_SUBJECT_PREFIX,
    Applied,
    LiveSet,
    Reached,
    Report,
)
from asgi_isr.logs.nats.connection import close, connect
from asgi_isr.logs.nats.requests import NO_MESSAGE_FOUND, RefusedError, request
from asgi_isr.ports import Clock, SystemClock

TIMEOUT_S = 2.0
RETRY_MIN_S = 0.05
RETRY_MAX_S = 2.0
LOAD_TIMEOUT_S = 10.0
LOOK_S = 1.0  # between two looks at leases that ended and at the connection
WAITERS_MAX = 10_000
PENDING_MAX = 65_536
AGE_S_MAX = LEASE_S_MAX + 60.0  # a registration is kept for longer than any lease
CLOCKS_S = 5.0  # by which the brokers of one cluster may disagree
BYTES_MAX = 16 * 1024 * 1024

T = TypeVar("T")
_logger = logging.getLogger(__name__)
_decoder = msgspec.json.Decoder(Report)


class _State(msgspec.Struct):
    subjects: dict[str, int] = {}


class _Info(msgspec.Struct):
    state: _State
    ts: datetime


class _Stored(msgspec.Struct):
    time: datetime
    data: bytes = b""


class _StoredReply(msgspec.Struct):
    message: _Stored


async def ensure_instances_stream(js: JetStreamContext, *, replicas: int = 1) -> None:
    """Create the stream of registrations unless it exists, whatever its bounds.

    Raises `LogUnavailableError` if JetStream does not answer.
    """
    wanted = StreamConfig(
        name=INSTANCES_STREAM,
        description="The last word of each instance of the page cache",
        subjects=[f"{INSTANCES_SUBJECT_PREFIX}.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        storage=StorageType.FILE,
        num_replicas=replicas,
        max_msgs_per_subject=1,
        max_age=AGE_S_MAX,
        max_bytes=BYTES_MAX,
    )
    try:
        async with asyncio.timeout(2 * TIMEOUT_S):
            try:
                await js.stream_info(INSTANCES_STREAM)
            except NotFoundError:
                await js.add_stream(wanted)
    except (NatsError, OSError, TimeoutError) as error:
        raise LogUnavailableError(
            f"cannot create the stream {INSTANCES_STREAM}: {error!r}"
        ) from error


class Instances:
    """Hears every instance's reports, and tells when something was applied everywhere.

    `connection` is a client of the caller's, who closes it, or a URL. Whatever may have cost a
    report (a broken connection, messages dropped) makes the live set incomplete until it was loaded
    again; until then nothing counts as applied everywhere.
    """

    def __init__(
        self,
        connection: Client | str,
        *,
        name: str,
        clock: Clock | None = None,
        timeout_s: float = TIMEOUT_S,
        tls_ca_file: str = "",
    ) -> None:
        self._tls_ca_file = tls_ca_file
        self._url = connection if isinstance(connection, str) else ""
        self._given = connection if isinstance(connection, Client) else None
        self._name = name
        self._clock = clock or SystemClock()
        self._timeout_s = timeout_s
        self._rng = random.Random()  # noqa: S311  jitter, not a secret
        self._live = LiveSet()
        self._broken = asyncio.Event()
        self._waiting: dict[str, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._waiters = 0
        self._waiter_ids = count()
        self._trouble: str | None = "has not connected yet"

    async def trouble(self) -> str | None:
        """Return what is wrong, or None while the live set is known."""
        return self._trouble

    def reports(self) -> list[Report]:
        """Return the newest report of each live instance."""
        return self._live.reports()

    def applied(self, reached: Reached) -> Applied:
        """Return who has reached it, as known now."""
        self._live.expire(self._clock.monotonic())
        return self._live.applied(reached)

    async def wait(self, reached: Reached, timeout_s: float) -> Applied:
        """Return once every live instance has reached it, or as far as it came in `timeout_s`."""
        self._live.expire(self._clock.monotonic())
        asked = self._live.names()
        applied = self._live.applied(reached, asked)
        if applied.everywhere or self._waiters >= WAITERS_MAX:
            return applied
        waiter = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(reached.source, [])
        if len(waiting) > 2 * WAITERS_MAX:  # most of them gave up
            waiting[:] = [one for one in waiting if not one[2].done()]
            heapq.heapify(waiting)
        heapq.heappush(waiting, (reached.number, next(self._waiter_ids), waiter))
        self._waiters += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await waiter
        finally:
            self._waiters -= 1
        return self._live.applied(reached, asked)

    async def run(self) -> None:
        """Observe until cancelled; whatever breaks is tried again."""
        failures = 0
        while True:
            try:
                await self._session()
            except Exception as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():  # it broke just as it was to end
                    raise asyncio.CancelledError from error
                known = isinstance(error, LogUnavailableError | NatsError | OSError | TimeoutError)
                text = str(error) or type(error).__name__
                if text != self._trouble or not known:
                    _logger.warning("the live set: %s", text, exc_info=not known)
                self._trouble = text
            self._live.lost()
            failures = failures + 1 if self._trouble else 0
            ceiling = min(RETRY_MAX_S, RETRY_MIN_S * 2 ** min(failures, 10))
            await asyncio.sleep(self._rng.uniform(RETRY_MIN_S, ceiling))

    async def _session(self) -> None:
        self._broken.clear()
        client = self._given or await connect(
            self._url, name=self._name, timeout_s=self._timeout_s, on_change=self._broken.set,
            tls_ca_file=self._tls_ca_file,
        )  # fmt: skip
        subscriptions: list[Subscription] = []
        try:
            reconnects = client.stats["reconnects"]
            for prefix in (INSTANCES_SUBJECT_PREFIX, POSITIONS_SUBJECT_PREFIX):
                subscription = await client.subscribe(
                    f"{prefix}.>", cb=self._received, pending_msgs_limit=PENDING_MAX
                )
                subscriptions.append(subscription)
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                await client.flush()  # the server has the subscriptions now
                self._live.loaded(await self._load(client), self._clock.monotonic())
            self._trouble = None
            self._moved()
            while client.is_connected and client.stats["reconnects"] == reconnects:
                await self._look(subscriptions)
        finally:
            self._live.lost()
            await self._leave(client, subscriptions)
        raise LogUnavailableError("the connection to NATS broke")

    async def _look(self, subscriptions: list[Subscription]) -> None:
        """Wait until something may have changed without a report."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._broken.wait()
        self._broken.clear()
        if any(one.pending_msgs > PENDING_MAX // 2 for one in subscriptions):
            raise LogUnavailableError("reports come faster than they are read")
        if self._live.expire(self._clock.monotonic()):
            self._moved()

    async def _load(self, client: Client) -> list[tuple[Report, float]]:
        """Return every registration that the stream keeps, and its age by the broker's clock."""
        asked = {"subjects_filter": f"{INSTANCES_SUBJECT_PREFIX}.>"}
        info = await self._ask(client, "INFO", asked, _Info)
        found = []
        for subject in info.state.subjects:
            try:
                stored = (
                    await self._ask(client, "MSG.GET", {"last_by_subj": subject}, _StoredReply)
                ).message
            except RefusedError as error:
                if error.code == NO_MESSAGE_FOUND:  # it left meanwhile
                    continue
                raise
            report = self._decoded(subject, stored.data)
            if report is not None and not report.leaving:
                age_s = (info.ts - stored.time).total_seconds() - CLOCKS_S
                found.append((report, max(0.0, age_s)))
        return found

    async def _ask(self, client: Client, what: str, asked: dict[str, str], reply: type[T]) -> T:
        subject = f"$JS.API.STREAM.{what}.{INSTANCES_STREAM}"
        body = msgspec.json.encode(asked)
        return await request(client, subject, body, reply, timeout_s=self._timeout_s)

    async def _received(self, message: Msg) -> None:
        report = self._decoded(message.subject, message.data)
        if report is not None:
            self._live.take(report, self._clock.monotonic())
            self._moved()

    def _decoded(self, subject: str, body: bytes) -> Report | None:
        """Read a report; None where it is none, or not that of the instance it is published as."""
        try:
            report = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            report = None
        if report is None or not subject.endswith(f".{report.instance}"):
            self._live.ignored += 1
            return None
        return report

    def _moved(self) -> None:
        """Let those go on whose event was applied everywhere."""
        if not self._live.complete:
            return
        for source, waiting in list(self._waiting.items()):
            level = self._live.everywhere(source)
            while waiting and (level is None or waiting[0][0] <= level or waiting[0][2].done()):
                waiter = heapq.heappop(waiting)[2]
                if not waiter.done():
                    waiter.set_result(None)
            if not waiting:
                del self._waiting[source]

    async def _leave(self, client: Client, subscriptions: list[Subscription]) -> None:
        if self._given is None:
            await close(client)
            return
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                for one in subscriptions:
                    await one.unsubscribe()

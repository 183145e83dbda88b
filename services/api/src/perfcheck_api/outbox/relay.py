"""The relay: publishes committed outbox rows to the log, in order, and answers requests for marks.

One relay is active over all instances, the holder of an advisory lock; the others stand by. It
works in sessions: a connection to NATS, one to PostgreSQL for the lock and the rows, one to be
woken by. Whatever breaks ends the session, and after a bounded wait the next one begins by
verifying the log. Writes go on meanwhile; their rows wait.

Who holds the lock must show that it lives: PostgreSQL ends its session after two seconds without a
statement, be its process frozen, its host gone or the network cut; a process that dies is noticed
at once. Then another takes over. A frozen relay that thaws finds its session ended when it touches
the database next, which it does before each batch; what it sends before that of a batch that it
had begun, the log knows by its id already.

Before it publishes anything, a session compares the database with what the log heard of it last
(rule 13): one that went back has everything invalidated first; one that another has taken the log
from publishes nothing. Two relays of two databases publish after each other's messages never: the
log refuses it, which ends the session.

Marks (rule 8): a pass that began after a request came, and published every row that it found,
proves that the relay and the log work. Then one mark is published for all who wait. Where nothing
was published for a while, a mark is all the same: it tells how far the database is.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID, uuid4

from asgi_isr.backoff import Backoff
from perfcheck_chassis.secret import Secret

from perfcheck_api.db import Connection, connect
from perfcheck_api.errors import BrokerError, SupersededError
from perfcheck_api.locks import RELAY_LOCK
from perfcheck_api.outbox import repository
from perfcheck_api.outbox.broker import BROKER_CONNECT_S_MAX, Broker, connected
from perfcheck_api.outbox.consumers import Consumers
from perfcheck_api.outbox.database_identity import Compared, compare
from perfcheck_api.outbox.log_identity import verify
from perfcheck_api.outbox.metrics import RelayMetrics
from perfcheck_api.outbox.model import Acknowledged
from perfcheck_api.outbox.publisher import Publisher
from perfcheck_api.outbox.window import BROKER_REQUEST_S_MAX
from perfcheck_api.outbox.witness import MARK_INTERVAL_S
from perfcheck_api.sessions import Sessions

IDLE_POLL_S = 1.0  # a lost notification costs no more
STANDBY_S = 0.5
BEAT_S = 0.5
SILENCE_S_MAX = 2.0  # then PostgreSQL ends the session and frees the lock
MARKS_WAITING_MAX = 4096
RELAY_STATEMENT_S_MAX = 10.0
# For a batch, a mark, a look at the log: a server that hangs ends the session.
RELAY_STEP_S_MAX = 30.0
SESSION_RETRY_FIRST_S = 0.05
SESSION_RETRY_S_MAX = 2.0
# From the first attempt to publish a row to the next one, by this relay or by one that takes over,
# while both servers answer. The log knows the row's id for longer (`DUPLICATE_WINDOW_S`). What is
# tried still later stands there twice, which costs an invalidation and breaks nothing.
PUBLISH_AGAIN_S_MAX = (
    2 * BROKER_REQUEST_S_MAX  # no answer came
    + SILENCE_S_MAX + STANDBY_S  # another notices that this one stands still
    + SESSION_RETRY_S_MAX + BROKER_CONNECT_S_MAX
)  # fmt: skip
PRUNE_INTERVAL_S = 60.0
PRUNE_AGE_S = 86_400.0
PRUNE_ROWS_MAX = 1000
ROWS_KEPT = 1000

_TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"
_BEAT = "SELECT 1"
_END_WHEN_SILENT = f"""
SELECT set_config('idle_session_timeout', '{SILENCE_S_MAX:g}s', false),
    set_config('idle_in_transaction_session_timeout', '{SILENCE_S_MAX:g}s', false)
"""
_LISTEN = "LISTEN perfcheck_outbox"  # a trigger notifies it, see migrations

_log = logging.getLogger(__name__)


class Relay:
    """Runs sessions until it is cancelled; `unhealthy_reason` is for the health page."""

    def __init__(
        self,
        database_url: Secret,
        nats_url: str,
        *,
        name: str,
        metrics: RelayMetrics,
        tls_ca_file: str = "",
        mark_interval_s: float = MARK_INTERVAL_S,
        new_id: Callable[[], UUID] = uuid4,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database_url = database_url
        self._nats_url = nats_url
        self._name = name
        self._tls_ca_file = tls_ca_file
        self._metrics = metrics
        self._mark_interval_s = mark_interval_s
        self._sessions = Sessions(
            self._session,
            what="not publishing",
            backoff=Backoff(
                first_s=SESSION_RETRY_FIRST_S, max_s=SESSION_RETRY_S_MAX, jitter=random.random
            ),
            logger=_log,
        )
        self._new_id = new_id
        self._monotonic = monotonic
        self._superseded: str | None = None
        self._consumers = Consumers()
        self._wake = asyncio.Event()
        self._waiting: list[str] = []

    async def unhealthy_reason(self) -> str | None:
        """Return None while publishing or standing by for another relay, else what is wrong."""
        return self._sessions.unhealthy_reason or self._consumers.unhealthy_reason

    async def superseded_reason(self) -> str | None:
        """Return None, or that another database has the log: then nothing is to be served here."""
        return self._superseded

    async def run(self) -> None:
        """Publish until cancelled. Never raises: it logs errors and tries again."""
        await self._sessions.run()

    async def _session(self) -> None:
        try:
            await self._connected()
        finally:
            self._metrics.active(now=False)

    async def _connected(self) -> None:
        async with (
            connected(self._nats_url, name=self._name, tls_ca_file=self._tls_ca_file) as broker,
            connect(
                self._database_url,
                name=f"relay {self._name}",
                statement_timeout_s=RELAY_STATEMENT_S_MAX,
            ) as connection,
            asyncio.TaskGroup() as group,
        ):
            await connection.execute(_END_WHEN_SILENT)
            group.create_task(_end_when_broken(broker))
            group.create_task(_beat(connection))
            await self._lead(connection, broker)  # in the block, see `end_if_cancelled`

    async def _lead(self, connection: Connection, broker: Broker) -> None:
        compare_at = self._monotonic()
        while not await _try_lock(connection):
            if self._monotonic() >= compare_at:
                async with asyncio.timeout(RELAY_STEP_S_MAX):
                    self._check(await self._compared(connection, broker, None))
                compare_at = self._monotonic() + self._mark_interval_s
            # Another relay has the lock, so somebody publishes.
            self._sessions.unhealthy_reason = None
            await asyncio.sleep(STANDBY_S)
        async with asyncio.timeout(RELAY_STEP_S_MAX):
            publisher = await self._begin(connection, broker)
        _log.info("this relay is active now: it publishes to the log")
        self._metrics.active(now=True)
        self._waiting.clear()
        await broker.listen_for_mark_requests(self._accept)
        async with (
            connect(
                self._database_url,
                name=f"relay-wake {self._name}",
                statement_timeout_s=RELAY_STATEMENT_S_MAX,
            ) as listener,
            asyncio.TaskGroup() as group,
        ):
            await listener.execute(_LISTEN)
            group.create_task(self._listen(listener))
            group.create_task(self._consumers.keep(broker))
            await self._passes(connection, publisher)

    async def _begin(self, connection: Connection, broker: Broker) -> Publisher:
        """Make sure that log and database are those that know each other; return who publishes."""
        acknowledged = await verify(connection, broker)
        compared = await self._compared(connection, broker, acknowledged)
        self._check(compared)
        publisher = await Publisher.begin(
            connection, broker, acknowledged, compared.database, self._metrics
        )
        if compared.reason is not None:
            await publisher.invalidate_everything(compared.heard, compared.reason)
        elif compared.heard is not None and compared.heard.server != compared.database.server:
            # Restarted: until the log tells, pages that are made from it are not kept.
            await publisher.mark([], self._new_id())
        return publisher

    async def _compared(
        self, connection: Connection, broker: Broker, acknowledged: Acknowledged | None
    ) -> Compared:
        return await compare(
            connection, broker, acknowledged, mark_interval_s=self._mark_interval_s
        )

    def _check(self, compared: Compared) -> None:
        try:
            compared.check_not_superseded()
        except SupersededError as error:
            self._superseded = str(error)
            self._metrics.superseded(now=True)
            raise
        self._superseded = None
        self._metrics.superseded(now=False)

    def _accept(self, reply: str) -> None:
        """Remember a request for a mark; beyond the bound it is dropped, and asked again."""
        if len(self._waiting) < MARKS_WAITING_MAX:
            self._waiting.append(reply)
            self._wake.set()

    async def _listen(self, listener: Connection) -> None:
        async for _ in listener.notifies():
            self._wake.set()

    async def _passes(self, connection: Connection, publisher: Publisher) -> None:
        prune_at = mark_at = self._monotonic()
        witnesses = -1
        more = True
        while True:
            if not more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_POLL_S):
                        await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            more = await self._pass(connection, publisher, waiting)
            if witnesses == publisher.witnesses and self._monotonic() >= mark_at:
                await self._mark(publisher, [])
            if witnesses != publisher.witnesses:
                witnesses = publisher.witnesses
                mark_at = self._monotonic() + self._mark_interval_s
            self._sessions.succeeded()
            due = self._monotonic() >= prune_at and not self._wake.is_set()
            if due and await _prune(connection) < PRUNE_ROWS_MAX:
                prune_at = self._monotonic() + PRUNE_INTERVAL_S

    async def _pass(self, connection: Connection, publisher: Publisher, waiting: list[str]) -> bool:
        """Publish a batch; with requests waiting all that was committed before, and a mark.

        Return whether there may be more. Rows that come later do not delay the mark, so that a
        relay which is busy without a pause answers too.
        """
        target = await repository.newest(connection) if waiting else 0
        while True:
            async with asyncio.timeout(RELAY_STEP_S_MAX):
                more = await publisher.publish_batch()
            if not more or publisher.through >= target:
                break
        if waiting:
            await self._mark(publisher, waiting)
        return more

    async def _mark(self, publisher: Publisher, waiting: list[str]) -> None:
        async with asyncio.timeout(RELAY_STEP_S_MAX):
            await publisher.mark(waiting, self._new_id())


async def _prune(connection: Connection) -> int:
    async with asyncio.timeout(RELAY_STEP_S_MAX):
        return await repository.prune(
            connection, age_s=PRUNE_AGE_S, rows_kept=ROWS_KEPT, rows_max=PRUNE_ROWS_MAX
        )


async def _try_lock(connection: Connection) -> bool:
    async with asyncio.timeout(RELAY_STEP_S_MAX):
        row = await (await connection.execute(_TRY_LOCK, (RELAY_LOCK,))).fetchone()
    return row is not None and bool(row[0])


async def _beat(connection: Connection) -> None:
    """Keep the session, and with it the lock, while this process runs."""
    while True:
        await asyncio.sleep(BEAT_S)
        async with asyncio.timeout(RELAY_STEP_S_MAX):
            await connection.execute(_BEAT)


async def _end_when_broken(broker: Broker) -> None:
    await broker.wait_until_broken()
    raise BrokerError("the connection to NATS broke")

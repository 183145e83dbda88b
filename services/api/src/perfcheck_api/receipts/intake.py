"""The intake of receipts: revalidators publish them in batches, each is merged into the table.

One durable consumer for all instances of this service. It works in sessions, as the relay does: a
connection to NATS and one to PostgreSQL; whatever breaks ends the session, and what was not
acknowledged comes again. A batch is acknowledged once it is committed. While PostgreSQL is away no
session begins, so batches wait in the stream.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
from asgi_isr.backoff import Backoff
from asgi_isr.logs.nats import close, connect
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import RECEIPTS, ReceiptBatch

from perfcheck_api.db import Connection, DataError
from perfcheck_api.db import connect as connect_to_database
from perfcheck_api.receipts import repository
from perfcheck_api.receipts.model import (
    PRUNE_LOCK,
    RECEIPT_AGE_S_MAX,
    RECEIPTS_KEPT,
    Part,
    json_of,
    rounds,
    storable,
)
from perfcheck_api.receipts.repository import PruneKeys
from perfcheck_api.sessions import Sessions

CONSUMER = "api"
BATCHES_MAX = 16  # fetched at once
FETCH_TIMEOUT_S = 2.0
ACK_WAIT_S = 30.0
ACK_PENDING_MAX = 256  # batches at all instances that are not acknowledged
STATEMENT_TIMEOUT_S = 10.0
STEP_TIMEOUT_S = 25.0  # below `ACK_WAIT_S`: what is still being merged is not given to another
REQUEST_TIMEOUT_S = 2.0
GIVE_BACK_S = 1.0  # after a failed merge
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 5.0
PRUNE_INTERVAL_S = 60.0
PRUNE_ROWS_MAX = 2000

_log = logging.getLogger(__name__)
_decoder = msgspec.json.Decoder(ReceiptBatch)


class ReceiptIntake:
    """Runs sessions until it is cancelled; `trouble` tells the health page what is wrong, if so."""

    def __init__(
        self,
        database_url: Secret,
        nats_url: str,
        *,
        name: str,
        prune_keys: PruneKeys,
        tls_ca_file: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database_url = database_url
        self._nats_url = nats_url
        self._name = name
        self._tls_ca_file = tls_ca_file
        self._prune_keys = prune_keys
        self._sessions = Sessions(
            self._session,
            what="receipts are not taken in",
            backoff=Backoff(first_s=RETRY_FIRST_S, max_s=RETRY_MAX_S, jitter=random.random),
            logger=_log,
        )
        self._monotonic = monotonic

    async def trouble(self) -> str | None:
        """Return None while receipts are taken in, else what is wrong."""
        return self._sessions.trouble

    async def run(self) -> None:
        """Take in receipts until cancelled. Never raises: trouble is logged, and tried again."""
        await self._sessions.run()

    async def _session(self) -> None:
        client = await connect(
            self._nats_url, name=f"{self._name} receipts", tls_ca_file=self._tls_ca_file
        )
        try:
            async with connect_to_database(
                self._database_url, name="receipts", statement_timeout_s=STATEMENT_TIMEOUT_S
            ) as connection:
                await self._take_in(connection, client.jetstream(timeout=REQUEST_TIMEOUT_S))
        finally:
            await close(client)

    async def _take_in(self, connection: Connection, js: JetStreamContext) -> None:
        async with asyncio.timeout(STEP_TIMEOUT_S):
            await ensure_consumer(js)
            subscription = await js.pull_subscribe_bind(consumer=CONSUMER, stream=RECEIPTS.name)
        prune_at = self._monotonic()
        while True:
            try:
                async with asyncio.timeout(2 * FETCH_TIMEOUT_S):
                    messages = await subscription.fetch(BATCHES_MAX, timeout=FETCH_TIMEOUT_S)
            except NatsTimeoutError:
                messages = []  # nothing came
            try:
                async with asyncio.timeout(STEP_TIMEOUT_S):
                    await _merge(connection, messages)
            except Exception:
                await _give_back(messages)
                raise
            self._sessions.succeeded()
            if self._monotonic() >= prune_at and await self._prune(connection) < PRUNE_ROWS_MAX:
                prune_at = self._monotonic() + PRUNE_INTERVAL_S

    async def _prune(self, connection: Connection) -> int:
        async with asyncio.timeout(STEP_TIMEOUT_S):
            return await repository.prune(
                connection,
                prune_lock=PRUNE_LOCK,
                age_s=RECEIPT_AGE_S_MAX,
                rows_kept=RECEIPTS_KEPT,
                rows_max=PRUNE_ROWS_MAX,
                prune_keys=self._prune_keys,
            )


async def ensure_consumer(js: JetStreamContext) -> None:
    """Create the stream of receipts and the consumer, unless they exist."""
    try:
        await js.stream_info(RECEIPTS.name)
    except NotFoundError:
        await js.add_stream(
            StreamConfig(
                name=RECEIPTS.name,
                description=RECEIPTS.description,
                subjects=list(RECEIPTS.subjects),
                retention=RetentionPolicy(RECEIPTS.retention),
                storage=StorageType.FILE,
                discard=DiscardPolicy.OLD,
                max_age=RECEIPTS.age_s_max,
                max_bytes=RECEIPTS.bytes_max,
                duplicate_window=RECEIPTS.duplicate_window_s,
            )
        )
    await js.add_consumer(
        RECEIPTS.name,
        ConsumerConfig(
            durable_name=CONSUMER,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            # No bound: what cannot be read is ended at once, and all else can be merged once
            # PostgreSQL is back, however often it broke down meanwhile.
            max_deliver=-1,
            max_ack_pending=ACK_PENDING_MAX,
        ),
    )


async def _give_back(messages: list[Msg]) -> None:
    """Let batches come again soon; those that cannot be given back come after `ACK_WAIT_S`."""
    with suppress(NatsError, OSError, TimeoutError):
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            for message in messages:
                if not message.is_acked:
                    await message.nak(delay=GIVE_BACK_S)


async def _merge(connection: Connection, messages: list[Msg]) -> None:
    """Merge all batches, then acknowledge them."""
    parts: list[Part] = []
    readable: list[Msg] = []
    for message in messages:
        try:
            receipts = storable(_decoder.decode(message.data).receipts)
            parts += [Part(receipt, message.metadata.timestamp) for receipt in receipts]
            readable.append(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _log.error("a batch of receipts (%d bytes) was dropped: %s", len(message.data), error)
            await message.term()
    for once in rounds(parts):
        await _merge_round(connection, once)
    for message in readable:
        await message.ack()


async def _merge_round(connection: Connection, parts: list[Part]) -> None:
    """Merge parts in one statement; if one cannot be stored, each by itself."""
    try:
        foreign = len(parts) - await repository.merge(connection, json_of(parts))
        if foreign:
            _log.error(
                "%d parts of receipts were left out: their ids are those of another source's"
                " events; a publisher may take ids that are not its own", foreign,
            )  # fmt: skip
    except DataError as error:
        if len(parts) > 1:
            for part in parts:
                await _merge_round(connection, [part])
        else:
            _log.error("the receipt of %r was dropped: %s", parts[0].receipt.id, error)

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
from datetime import UTC, datetime

import msgspec
from asgi_isr.backoff import Backoff
from asgi_isr.nats import ConsumerSpec, Delivery, Link, PullConsumer, StreamSpec, ensure_stream
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import RECEIPTS, RECEIPTS_BYTES_MAX, RECEIPTS_MAX, Receipt, ReceiptBatch

from perfcheck_api.clock import wall_s
from perfcheck_api.db import Connection, DataError
from perfcheck_api.db import connect as connect_to_database
from perfcheck_api.locks import PRUNE_LOCK
from perfcheck_api.receipts import repository
from perfcheck_api.receipts.model import (
    RECEIPT_AGE_S_MAX,
    RECEIPTS_KEPT,
    Part,
    json_of,
    rounds,
    storable,
)
from perfcheck_api.receipts.repository import PruneKeys
from perfcheck_api.sessions import Sessions

STREAM_SPEC = StreamSpec(**RECEIPTS._asdict())
# No bound on deliveries: what cannot be read is ended at once, and all else can be merged once
# PostgreSQL is back, however often it broke down meanwhile.
CONSUMER_SPEC = ConsumerSpec(
    stream=RECEIPTS.name, durable="api", ack_wait_s=30.0, ack_pending_max=256
)
BATCHES_MAX = 16  # fetched at once
FETCH_WAIT_S = 2.0
MERGE_STATEMENT_S_MAX = 10.0
STEP_S_MAX = 25.0  # below `ack_wait_s`: what is still being merged is not given to another
INTAKE_REQUEST_S_MAX = 2.0
GIVE_BACK_DELAY_S = 1.0  # after a failed merge
_INTAKE_RETRY_FIRST_S = 0.1
_INTAKE_RETRY_S_MAX = 5.0
PRUNE_INTERVAL_S = 60.0
PRUNE_ROWS_MAX = 2000

_log = logging.getLogger(__name__)
_decoder = msgspec.json.Decoder(ReceiptBatch)


class ReceiptIntake:
    """Runs sessions until it is cancelled; `unhealthy_reason` is for the health page."""

    def __init__(
        self,
        database_url: Secret,
        nats_url: str,
        *,
        name: str,
        prune_keys: PruneKeys,
        tls_ca_file: str = "",
        monotonic: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = wall_s,
    ) -> None:
        self._database_url = database_url
        self._nats_url = nats_url
        self._name = name
        self._tls_ca_file = tls_ca_file
        self._prune_keys = prune_keys
        self._sessions = Sessions(
            self._session,
            what="not storing receipts",
            backoff=Backoff(
                first_s=_INTAKE_RETRY_FIRST_S, max_s=_INTAKE_RETRY_S_MAX, jitter=random.random
            ),
            logger=_log,
        )
        self._monotonic = monotonic
        self._wall_s = wall_s

    async def unhealthy_reason(self) -> str | None:
        """Return None while receipts are taken in, else what is wrong."""
        return self._sessions.unhealthy_reason

    async def run(self) -> None:
        """Take in receipts until cancelled. Never raises: it logs errors and tries again."""
        await self._sessions.run()

    async def _session(self) -> None:
        link = Link(
            self._nats_url,
            name=f"{self._name} receipts",
            timeout_s=INTAKE_REQUEST_S_MAX,
            tls_ca_file=self._tls_ca_file,
        )
        try:
            async with connect_to_database(
                self._database_url, name="receipts", statement_timeout_s=MERGE_STATEMENT_S_MAX
            ) as connection:
                await self._take_in(connection, link)
        finally:
            await link.close()

    async def _take_in(self, connection: Connection, link: Link) -> None:
        js = (await link.client()).jetstream(timeout=INTAKE_REQUEST_S_MAX)
        await ensure_stream(js, STREAM_SPEC, wall=self._wall_s)
        consumer = PullConsumer(link, CONSUMER_SPEC)
        prune_at = self._monotonic()
        while True:
            batches = await consumer.fetch(BATCHES_MAX, FETCH_WAIT_S)
            try:
                async with asyncio.timeout(STEP_S_MAX):
                    await _merge(connection, batches)
            except Exception:
                await _give_back(batches)
                raise
            self._sessions.succeeded()
            if self._monotonic() >= prune_at and await self._prune(connection) < PRUNE_ROWS_MAX:
                await ensure_stream(js, STREAM_SPEC, wall=self._wall_s)  # repair what was altered
                prune_at = self._monotonic() + PRUNE_INTERVAL_S

    async def _prune(self, connection: Connection) -> int:
        async with asyncio.timeout(STEP_S_MAX):
            return await repository.prune(
                connection,
                prune_lock=PRUNE_LOCK,
                age_s=RECEIPT_AGE_S_MAX,
                rows_kept=RECEIPTS_KEPT,
                rows_max=PRUNE_ROWS_MAX,
                prune_keys=self._prune_keys,
            )


async def _give_back(batches: list[Delivery]) -> None:
    """Let batches come again soon; those that cannot be given back come again all the same."""
    for batch in batches:
        if not batch.settled:
            await batch.nak(GIVE_BACK_DELAY_S)


async def _merge(connection: Connection, batches: list[Delivery]) -> None:
    """Merge all batches, then acknowledge them."""
    parts: list[Part] = []
    readable: list[Delivery] = []
    for batch in batches:
        try:
            receipts = storable(_receipts(batch.body))
        except (ValueError, RecursionError) as error:  # msgspec's and Unicode's among them
            _log.error(
                "a batch of receipts (%d bytes) cannot be read and was dropped: %s",
                len(batch.body),
                error,
            )
            await batch.term()
        else:
            at = datetime.fromtimestamp(batch.stored_s, UTC)
            parts += [Part(receipt, at) for receipt in receipts]
            readable.append(batch)
    for once in rounds(parts):
        await _merge_round(connection, once)
    for batch in readable:
        await batch.ack()


def _receipts(body: bytes) -> list[Receipt]:
    """Read a batch; raise `ValueError` for one that is none, or larger than any."""
    if len(body) > RECEIPTS_BYTES_MAX:
        raise ValueError(f"more than {RECEIPTS_BYTES_MAX} bytes")
    receipts = _decoder.decode(body).receipts
    if len(receipts) > RECEIPTS_MAX:
        raise ValueError(f"{len(receipts)} receipts, more than {RECEIPTS_MAX}")
    return receipts


async def _merge_round(connection: Connection, parts: list[Part]) -> None:
    """Merge parts in one statement; if one cannot be stored, each by itself."""
    try:
        await repository.merge(connection, json_of(parts))
    except DataError as error:
        if len(parts) > 1:
            for part in parts:
                await _merge_round(connection, [part])
        else:
            _log.error("the receipt of %r was dropped: %s", parts[0].receipt.id, error)

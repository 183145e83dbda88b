"""Receipts and idempotency keys while servers are killed, and with two instances."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import psycopg
import pytest
from asgi_isr.logs.nats import close, connect
from asgi_isr.testing import eventually
from nats.aio.client import Client as NatsClient
from nats.errors import Error as NatsError
from perfcheck_api.db import connect as connect_to_database
from perfcheck_api.migrations.migrate import migrate, packaged
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import RECEIPTS_STREAM, RECEIPTS_SUBJECT, Receipt, ReceiptBatch
from perfcheck_embedded import Servers, servers

BATCHES = 60
EACH = 20
USD = {"tags": ["currency:usd"]}


@pytest.fixture
async def own() -> AsyncIterator[Servers]:
    """Give servers that the test may kill, with all migrations and a stream of receipts."""
    async with servers(valkey=False) as started:
        async with connect_to_database(
            Secret(started.database_url), name="test", statement_timeout_s=60
        ) as connection:
            await migrate(connection, packaged())
        yield started


def _batch(number: int) -> bytes:
    receipts = [Receipt(id=f"e{number}-{n}", source="shop", stage="done") for n in range(EACH)]
    return msgspec.json.encode(ReceiptBatch(receipts=receipts))


@asynccontextmanager
async def _publisher(url: str) -> AsyncIterator[NatsClient]:
    client = await connect(url, name="test", timeout_s=10)
    try:
        yield client
    finally:
        await close(client)


async def _publish(client: NatsClient, number: int) -> None:
    """Publish a batch until the stream has it, as a revalidator does."""
    js = client.jetstream(timeout=2)
    await eventually(
        partial(js.publish, RECEIPTS_SUBJECT, _batch(number), stream=RECEIPTS_STREAM),
        timeout_s=30,
        poll_s=0.05,
        ignoring=(NatsError, OSError, TimeoutError),
    )


async def _stored(url: str) -> int:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute("SELECT count(*) FROM receipts")).fetchone()
    return 0 if row is None else int(row[0])


async def _all_taken_in(own: Servers) -> None:
    async with _publisher(own.nats_url) as client:

        async def taken_in() -> bool:
            return not (await client.jetstream().stream_info(RECEIPTS_STREAM)).state.messages

        await eventually(taken_in, timeout_s=60, poll_s=0.05)
    assert await _stored(own.database_url) == BATCHES * EACH


@pytest.mark.parametrize("name", ["postgres", "nats"])
async def test_no_receipt_is_lost_when_a_server_is_killed(
    own: Servers, open_client: Any, name: str
) -> None:
    """Batches that come before, during and after the outage are all in the table at its end."""
    async with open_client(own.database_url, nats_url=own.nats_urls["api"]):
        async with _publisher(own.nats_url) as client:
            for number in range(BATCHES // 3):
                await _publish(client, number)
            await own.kill(name)
            async with asyncio.TaskGroup() as group:
                for number in range(BATCHES // 3, 2 * BATCHES // 3):
                    group.create_task(_publish(client, number))
                await own.restart(name)
            for number in range(2 * BATCHES // 3, BATCHES):
                await _publish(client, number)
        await _all_taken_in(own)


async def test_two_instances_publish_once_for_a_key(
    schema_url: str, open_client: Any, no_nats_url: str, fetch: Any
) -> None:
    """Requests with one key at both instances at once make one event; 202 names it, 409 none."""
    headers = {"idempotency-key": "k"}
    async with (
        open_client(schema_url, nats_url=no_nats_url) as one,
        open_client(schema_url, nats_url=no_nats_url) as two,
    ):
        for _ in range(5):
            fetch(schema_url, "TRUNCATE outbox, receipts, idempotency_keys")
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(client.post("/invalidations", USD, headers=headers))
                    for client in (one, two) * 5
                ]
            answers = [task.result() for task in tasks]
            [(event_id,)] = fetch(schema_url, "SELECT event_id::text FROM outbox")
            assert {answer.status for answer in answers} <= {202, 409}
            named = {answer.json()["id"] for answer in answers if answer.status == 202}
            assert named == {event_id}

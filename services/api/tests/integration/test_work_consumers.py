"""The log's streams and the consumers by which revalidators work: the api keeps both."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from asgi_isr.events import STREAM
from asgi_isr.logs.nats import close, connect
from asgi_isr.reports import INSTANCES_STREAM
from asgi_isr.testing import eventually
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError
from perfcheck_api.outbox.metrics import RelayMetrics
from perfcheck_api.outbox.relay import Relay
from perfcheck_chassis.process import background_tasks
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import EVENT_CONSUMERS
from perfcheck_embedded import Servers
from prometheus_client import CollectorRegistry

FIRST, AGAIN = (facts.durable for facts in EVENT_CONSUMERS)


@pytest.fixture
async def relay(schema_url: str, running: Servers) -> AsyncIterator[Relay]:
    """Give a relay with the api's own user."""
    metrics = RelayMetrics(CollectorRegistry())
    given = Relay(Secret(schema_url), running.nats_urls["api"], name="test", metrics=metrics)
    async with background_tasks(relay=given.run()):
        yield given


@pytest.fixture
async def owner(running: Servers) -> AsyncIterator[Client]:
    """Give a connection that may do everything in the log's account."""
    client = await connect(running.nats_url, name="test", timeout_s=10)
    yield client
    await close(client)


async def config(client: Client, durable: str) -> ConsumerConfig | None:
    """Return how a consumer is configured."""
    try:
        info = await client.jetstream().consumer_info(STREAM, durable)
    except NotFoundError:
        return None
    found: ConsumerConfig = info.config
    return found


async def good(client: Client) -> bool:
    """Say whether both are as they must be."""
    found = [await config(client, durable) for durable in (FIRST, AGAIN)]
    return all(
        each is not None
        and each.filter_subject == "cache.invalidations.v1.>"
        and not each.pause_until
        and each.max_ack_pending == 20_000
        for each in found
    )


async def test_they_are_made_again_and_repaired(relay: Relay, owner: Client) -> None:
    """Deleted, paused or with another filter: the relay sets them right while it runs."""
    await eventually(lambda: good(owner), timeout_s=20)
    js = owner.jetstream()
    await js.delete_consumer(STREAM, AGAIN)
    changed = ConsumerConfig(
        durable_name=FIRST, ack_policy=AckPolicy.EXPLICIT, filter_subject="cache.nothing"
    )
    await js.add_consumer(STREAM, changed)
    await eventually(lambda: good(owner), timeout_s=20)
    assert await relay.unhealthy_reason() is None


async def test_streams_are_repaired_under_way(relay: Relay, owner: Client) -> None:
    """A log that is no longer republished, or keeps less, is set right while it is used."""
    await eventually(lambda: good(owner), timeout_s=20)
    js = owner.jetstream()
    log, instances = [(await js.stream_info(name)).config for name in (STREAM, INSTANCES_STREAM)]
    await js.update_stream(replace(log, republish=None, max_bytes=1 << 29, max_msgs=10**6))
    await js.update_stream(replace(instances, max_msgs=1000))

    async def repaired() -> bool:
        found = [(await js.stream_info(name)).config for name in (STREAM, INSTANCES_STREAM)]
        return found == [log, instances]

    await eventually(repaired, timeout_s=20)
    assert await relay.unhealthy_reason() is None


async def test_one_that_cannot_be_repaired_is_told_and_events_are_published(
    relay: Relay, owner: Client, all_published: Any, schema_url: str
) -> None:
    """Health names it, as the work on events stands still; the log goes on."""
    await eventually(lambda: good(owner), timeout_s=20)
    js = owner.jetstream()
    wrong = ConsumerConfig(durable_name=FIRST, ack_policy=AckPolicy.NONE)

    async def told() -> bool:
        await js.delete_consumer(STREAM, FIRST)
        await js.add_consumer(STREAM, wrong)
        return "ack_policy" in (await relay.unhealthy_reason() or "")

    try:
        await eventually(told, timeout_s=20, poll_s=0.3, ignoring=(Exception,))
        await all_published(schema_url)
    finally:
        await js.delete_consumer(STREAM, FIRST)
    await eventually(lambda: good(owner), timeout_s=20)

from collections.abc import AsyncIterator, Iterator

import pytest
from asgi_isr.logs.nats import NatsLog, connect, ensure_stream
from asgi_isr.stores.redis import RedisStore
from perfcheck_chassis import Secret
from perfcheck_embedded import Servers, servers
from perfcheck_revalidator.settings import Settings


@pytest.fixture
def running() -> Iterator[Servers]:
    """Give a fresh NATS and Valkey that the test may stop, freeze and start again."""
    with servers(postgres=False) as started:
        yield started


@pytest.fixture
async def publisher(running: Servers) -> AsyncIterator[NatsLog]:
    """Give the log as a publisher has it; the stream exists."""
    client = await connect(running.nats_url, name="test")
    try:
        await ensure_stream(client.jetstream())
        yield NatsLog(client, source="test")
    finally:
        await client.close()


@pytest.fixture
async def store(running: Servers) -> AsyncIterator[RedisStore]:
    """Give the shared store as an instance has it."""
    opened = RedisStore(running.valkey_url, timeout_s=1)
    yield opened
    await opened.close()


@pytest.fixture
def settings(running: Servers) -> Settings:
    """Give settings with a short interval."""
    return Settings(
        nats_url=Secret(running.nats_urls["revalidator"]),
        valkey_url=Secret(running.valkey_url),
        snapshot_interval_s=0.05,
        instance_id="revalidator-test",
    )

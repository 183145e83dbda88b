import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial

import msgspec
import pytest
from asgi_isr.events import STREAM, SUBJECT_PREFIX
from asgi_isr.logs.nats import NatsLog, connect, ensure_instances_stream, ensure_stream
from asgi_isr.nats import ConsumerSpec, Link, StreamSpec, ensure_consumer
from asgi_isr.nats import ensure_stream as ensure_receipts
from asgi_isr.ports import SystemClock
from asgi_isr.stores.redis import RedisStore
from asgi_isr.testing import eventually
from nats.aio.client import Client
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import (
    EVENT_CONSUMERS,
    LOG_API,
    RECEIPTS,
    RECEIPTS_SUBJECT,
    Receipt,
    ReceiptBatch,
)
from perfcheck_embedded import Servers, servers
from perfcheck_revalidator.cdn.valkey_counter import ValkeyCounter
from perfcheck_revalidator.settings import Settings

STAGES = ("committed", "published", "applied", "done", "dead")


class Receiver:
    """Consumes receipts as the api does: parts of one id are merged, stages only advance."""

    def __init__(self, client: Client) -> None:
        self.receipts: dict[str, Receipt] = {}
        self.parts = 0
        self.ended = False
        self._client = client

    async def run(self) -> None:
        """Merge until cancelled; the consumer is durable, so nothing is missed."""
        js = self._client.jetstream()
        subscription = await js.pull_subscribe(RECEIPTS_SUBJECT, durable="api")
        while not self.ended:  # nats-py may swallow the cancellation
            try:
                messages = await subscription.fetch(64, timeout=1)
            except TimeoutError:
                continue
            for message in messages:
                batch = msgspec.json.decode(message.data, type=ReceiptBatch)
                for receipt in batch.receipts:
                    self._merge(receipt)
                await message.ack()

    def _merge(self, part: Receipt) -> None:
        self.parts += 1
        known = self.receipts.get(part.id)
        if known is None:
            self.receipts[part.id] = part
            return
        fields = {
            name: value
            for name in ("tags", "paths", "reason", "seq", "applied", "warmed", "dead")
            if (value := getattr(part, name))
        }
        if part.retried:
            fields |= {"stage": "done", "dead": ""}
        elif STAGES.index(part.stage) > STAGES.index(known.stage):
            fields["stage"] = part.stage
        if part.cdn:
            kept = {(purge.provider, purge.again): purge for purge in (*known.cdn, *part.cdn)}
            fields["cdn"] = list(kept.values())
        self.receipts[part.id] = msgspec.structs.replace(known, **fields)

    async def stage(self, event_id: str, stage: str, *, within_s: float = 15) -> Receipt:
        """Wait until `event_id` has reached `stage`."""

        def reached() -> Receipt | None:
            found = self.receipts.get(event_id)
            there = found is not None and STAGES.index(found.stage) >= STAGES.index(stage)
            return found if there else None

        return await eventually(reached, timeout_s=within_s)


@pytest.fixture
def running() -> Iterator[Servers]:
    """Give a fresh NATS and Valkey that the test may stop, freeze and start again."""
    with servers(postgres=False) as started:
        yield started


async def set_up(client: Client) -> None:
    """Create what the api creates: the streams of its account, and the consumers of the log."""
    js = client.jetstream()
    await ensure_stream(js)
    await ensure_instances_stream(js)
    await ensure_receipts(js, StreamSpec(**RECEIPTS._asdict()), wall=SystemClock().wall)
    for facts in EVENT_CONSUMERS:
        spec = ConsumerSpec(stream=STREAM, subject=f"{SUBJECT_PREFIX}.>", **facts._asdict())
        await ensure_consumer(Link(client, name="test"), spec)


@pytest.fixture
def set_up_log(client: Client) -> Callable[[], Awaitable[None]]:
    """Give what the api does when the log was lost."""
    return partial(set_up, client)


@pytest.fixture
async def publisher(client: Client) -> NatsLog:
    """Give the log as a publisher has it."""
    return NatsLog(client, source="test")


@pytest.fixture
async def instances(running: Servers) -> AsyncIterator[NatsLog]:
    """Give the log as page servers have it, which report to the live set."""
    log = NatsLog(running.nats_urls["frontend-bff"], source="bff", api_prefix=LOG_API)
    yield log
    await log.close()


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


@pytest.fixture
async def counter(running: Servers) -> AsyncIterator[ValkeyCounter]:
    """Give the shared counter on a real store."""
    counting = ValkeyCounter(running.valkey_url, timeout_s=0.5)
    yield counting
    await counting.close()


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give AWS's chain credentials that open nothing, and no way around the machine."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
async def client(running: Servers) -> AsyncIterator[Client]:
    """Give a connection to the broker as one in the api's account, with all that the api makes."""
    opened = await connect(running.nats_url, name="test")
    await set_up(opened)
    yield opened
    await opened.close()


@pytest.fixture
async def receiver(client: Client) -> AsyncIterator[Receiver]:
    """Give the consumer of receipts, running."""
    opened = Receiver(client)
    task = asyncio.ensure_future(opened.run())
    yield opened
    opened.ended = True
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

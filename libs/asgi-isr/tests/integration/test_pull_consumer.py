"""`PullConsumer` and `Link` on a real broker: what is handed out, settled, lost and made again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from asgi_isr.errors import LogUnavailableError
from asgi_isr.nats import (
    ConsumerSpec,
    Link,
    LogConfigurationError,
    PullConsumer,
    StreamSpec,
    ensure_stream,
)
from asgi_isr.testing import eventually
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from perfcheck_embedded import Servers

NewClient = Callable[[str], Awaitable[Client]]
SUBJECT = "test.work.v1"
SPEC = StreamSpec(
    name="TEST_WORK",
    subjects=(SUBJECT,),
    retention="workqueue",
    age_s_max=3600,
    bytes_max=1 << 20,
    message_bytes_min=1 << 16,
)
CONSUMER = ConsumerSpec(stream="TEST_WORK", durable="test", ack_wait_s=30)


def wall() -> float:
    """Return a moment of October 2026."""
    return 1_793_358_001.0


@pytest.fixture
async def work(nats_server: Servers, new_client: NewClient) -> JetStreamContext:
    """Give JetStream with an empty stream of work."""
    js = (await new_client(nats_server.nats_url)).jetstream()
    assert await ensure_stream(js, SPEC, wall=wall)
    return js


@pytest.fixture
async def link(nats_server: Servers) -> AsyncIterator[Link]:
    """Give a link that is closed at the end."""
    opened = Link(nats_server.nats_url, name="test", timeout_s=5)
    yield opened
    await opened.close()


async def test_messages_are_settled_one_by_one(work: JetStreamContext, link: Link) -> None:
    """Done ones are gone, ended ones too; one that is given back comes again, counted."""
    for number in range(3):
        assert (await link.publish(SUBJECT, b"%d" % number)).seq == number + 1
    consumer = PullConsumer(link, CONSUMER)
    done, ended, back = await consumer.fetch(10, 1.0)
    assert [done.body, ended.body, back.body] == [b"0", b"1", b"2"]
    assert (done.seq, done.subject, done.deliveries) == (1, SUBJECT, 1)
    await done.ack()
    await ended.term()
    await back.hold()
    assert not back.settled
    await back.nak()
    assert done.settled
    assert back.settled
    [again] = await consumer.fetch(10, 5.0)
    assert (again.body, again.deliveries) == (b"2", 2)
    await again.ack()

    async def emptied() -> bool:
        return (await work.stream_info("TEST_WORK")).state.messages == 0

    await eventually(emptied)
    assert await consumer.fetch(10, 0.1) == []


async def test_a_consumer_that_is_gone_is_made_anew(work: JetStreamContext, link: Link) -> None:
    """The call that finds it gone says so; the next one works on the new stream from its first."""
    consumer = PullConsumer(link, CONSUMER)
    assert await consumer.fetch(10, 0.1) == []
    await work.delete_stream("TEST_WORK")
    with pytest.raises(LogUnavailableError, match="the consumer test is gone"):
        await consumer.fetch(10, 0.5)
    with pytest.raises(LogUnavailableError, match="stream not found"):
        await consumer.fetch(10, 0.5)
    await ensure_stream(work, SPEC, wall=wall)
    await link.publish(SUBJECT, b"first")
    [delivery] = await consumer.fetch(10, 5.0)
    assert delivery.body == b"first"


@pytest.mark.usefixtures("work")
async def test_a_frozen_broker_is_told_within_the_limits(link: Link, nats_server: Servers) -> None:
    """Nothing waits for ever; after a thaw the same consumer goes on."""
    consumer = PullConsumer(link, CONSUMER)
    assert await consumer.fetch(10, 0.1) == []
    await nats_server.pause("nats")
    try:
        with pytest.raises(LogUnavailableError, match="the broker does not answer"):
            await consumer.fetch(10, 0.2)
    finally:
        await nats_server.resume("nats")
    await link.publish(SUBJECT, b"x")
    found = await eventually(lambda: consumer.fetch(10, 0.5), ignoring=(LogUnavailableError,))
    assert [delivery.body for delivery in found] == [b"x"]


async def test_there_are_no_responders_where_nobody_subscribed(link: Link) -> None:
    """A publish that no stream takes fails at once, in NATS's own words."""
    with pytest.raises(LogUnavailableError, match=r"no responders at nobody\.is\.here"):
        await link.publish("nobody.is.here", b"")


async def test_every_field_that_would_break_something_is_named(work: JetStreamContext) -> None:
    """A stream that is otherwise is refused with all its wrong fields at once."""
    await work.delete_stream("TEST_WORK")
    await work.add_stream(
        StreamConfig(name="TEST_WORK", subjects=[SUBJECT], max_msg_size=10, deny_delete=True)
    )
    with pytest.raises(LogConfigurationError) as refused:
        await ensure_stream(work, SPEC, wall=wall)
    for field in ("retention", "max_msg_size", "deny_delete"):
        assert f"{field} is " in str(refused.value)


async def test_who_waits_for_a_connection_is_told_of_the_close(nats_server: Servers) -> None:
    """A link that is closed while it connects leaves no connection behind, and opens again."""
    link = Link(nats_server.nats_url, name="test", timeout_s=5)
    asking = [asyncio.ensure_future(link.client()) for _ in range(5)]
    await asyncio.sleep(0)
    await link.close()
    ends = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(end) for end in ends} == {LogUnavailableError}
    assert (await link.client()).is_connected
    await link.close()


def test_a_consumer_goes_on_in_another_loop(nats_server: Servers) -> None:
    """What waited in one loop does not bind the consumer to it."""
    link = Link(nats_server.nats_url, name="test", timeout_s=5)
    consumer = PullConsumer(link, CONSUMER)

    async def use() -> None:
        await ensure_stream((await link.client()).jetstream(), SPEC, wall=wall)
        assert await consumer.fetch(10, 0.1) == []
        await link.publish(SUBJECT, b"x")
        [delivery] = await consumer.fetch(10, 5.0)
        await delivery.ack()
        await link.close()

    for _ in range(3):
        asyncio.run(use())

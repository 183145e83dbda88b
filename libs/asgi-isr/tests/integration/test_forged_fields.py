"""What a publisher can write into subject and header fields, against readers on a real server."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from urllib.parse import urlsplit

import pytest
from asgi_isr.events import MARK_SUBJECT_PREFIX, STREAM, SUBJECT_PREFIX
from asgi_isr.logs.nats import NatsLog, ensure_stream
from asgi_isr.nats import ConsumerSpec, Delivery, Link, PullConsumer
from asgi_isr.ports import Log, LogMessage
from nats.aio.client import Client
from nats.js import JetStreamContext
from perfcheck_embedded import Servers

NewClient = Callable[[str], Awaitable[Client]]
Take = Callable[[Log, int, int], Awaitable[list[LogMessage]]]
SHOP = f"{SUBJECT_PREFIX}.shop".encode()
# Not of one byte: such a block ends nats-server 2.15 if it comes from the stream's own account.
BLOCKS = {
    "empty": b"",
    "two bytes": b"NA",
    "no version": b"\r\n",
    "no end": b"NATS/1.0",
    "no fields": b"NATS/1.0\r\n\r\n",
    "no end of a field": b"NATS/1.0\r\nX: abc",
    "status": b"NATS/1.0 503\r\n\r\n",
    "status that is none": b"NATS/1.0 \xff\xff\xff\r\n\r\n",
    "heartbeat": b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\n\r\n",
    "end of a batch": b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 9\r\n\r\n",
    "status as a field": b"NATS/1.0\r\nStatus: 503\r\nDescription: No Responders\r\n\r\n",
    "no UTF-8": b"NATS/1.0\r\n\xff\xfe: \xff\r\nX\xff\r\n\r\n",
    "no fields at all": b"NATS/1.0\r\nno colon\r\n: x\r\n\x00\r\n \r\n\r\n",
    "other line ends": b"garbage\n\n\n\n\n",
    "sequence": b"NATS/1.0\r\nNats-Sequence: 900000000\r\nNats-Time-Stamp: x\r\n\r\n",
    "source": b"NATS/1.0\r\nNats-Subject: cache.marks.v1.api\r\nCache-Sequence: 900000000\r\n\r\n",
    "consumer": b"NATS/1.0\r\nNats-Consumer-Stalled: x\r\nNats-Pending-Messages: 1\r\n\r\n",
    "long": b"NATS/1.0\r\nX: " + b"x" * 60_000 + b"\r\n\r\n",
    "many": b"NATS/1.0\r\n" + b"a:\r\n" * 16_000 + b"\r\n",
}


async def publish_raw(url: str, messages: list[tuple[bytes, bytes, bytes]]) -> None:
    """Publish (subject, header block, body) as no well-behaved client would."""
    to = urlsplit(url)
    reader, writer = await asyncio.open_connection(to.hostname, to.port)
    await reader.readline()
    login = f'{{"verbose":false,"headers":true,"user":"{to.username}","pass":"{to.password}"}}'
    writer.write(f"CONNECT {login}\r\n".encode())
    for subject, block, body in messages:
        size = len(block) + len(body)
        writer.write(b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, len(block), size, block, body))
    writer.write(b"PING\r\n")
    async with asyncio.timeout(10):
        assert await reader.readline() == b"PONG\r\n"
    writer.close()


@pytest.fixture
async def log(
    js: JetStreamContext, steady_servers: Servers, new_log: Callable[..., NatsLog]
) -> NatsLog:
    """Give a log on an empty stream."""
    await ensure_stream(js)
    return new_log(steady_servers.nats_url, publish_marks=True, timeout_s=5)


async def test_every_block_of_headers_is_read_past(
    log: NatsLog, steady_servers: Servers, take: Take
) -> None:
    """No field of a publisher's breaks a reading, is believed of others, or hides an event."""
    before = (await log.mark()).seq
    messages = [(SHOP, block, name.encode()) for name, block in BLOCKS.items()]
    async with asyncio.timeout(20), aclosing(log.read(before)) as batches:
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        await publish_raw(steady_servers.nats_url, messages)
        live = list(await waiting)
        while len(live) < len(BLOCKS):
            live += await anext(batches)
    assert [message.seq for message in live] == list(range(before + 1, before + 1 + len(BLOCKS)))
    assert [message.body.decode() for message in live] == list(BLOCKS)
    counts = {message.body.decode(): message[3:5] for message in live if message.source}
    assert counts == {"source": ("shop", 900_000_000)}
    assert await take(log, before, len(BLOCKS)) == live  # by direct get
    assert [await log.stamp(message.seq) for message in live] == [each.stamp for each in live]


async def test_every_block_is_handed_out_to_work(log: NatsLog, steady_servers: Servers) -> None:
    """What is worked on comes with whatever can be read of its fields, and can be acknowledged."""
    await log.mark()
    messages = [(SHOP, block, name.encode()) for name, block in BLOCKS.items()]
    await publish_raw(steady_servers.nats_url, messages)
    link = Link(steady_servers.nats_url, name="test", timeout_s=5)
    spec = ConsumerSpec(stream=STREAM, durable="test", subject=f"{SUBJECT_PREFIX}.>")
    consumer = PullConsumer(link, spec)
    found: list[Delivery] = []
    while len(found) < len(BLOCKS):
        found += await consumer.fetch(5, 5.0)
    assert [delivery.body.decode() for delivery in found] == list(BLOCKS)
    for delivery in found:
        assert delivery.subject == SHOP.decode()
        assert all(isinstance(text, str) for field in delivery.headers.items() for text in field)
        await delivery.ack()
    assert await consumer.fetch(5, 0.1) == []
    await link.close()


async def test_subject_that_is_no_text_is_read_past(
    log: NatsLog, steady_servers: Servers, take: Take
) -> None:
    """Whoever may publish on any subject cannot stop readers with one that is no UTF-8."""
    before = (await log.mark()).seq
    subject = MARK_SUBJECT_PREFIX.encode() + b".\xff\xfe"
    async with asyncio.timeout(20), aclosing(log.read(before)) as batches:
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        await publish_raw(steady_servers.nats_url, [(subject, b"NATS/1.0\r\n\r\n", b"x")])
        assert [message.body for message in await waiting] == [b"x"]
    assert [message.body for message in await take(log, before, 1)] == [b"x"]


async def test_replayed_messages_change_nothing(
    log: NatsLog,
    new_client: Callable[[str], Awaitable[Client]],
    steady_servers: Servers,
    take: Take,
) -> None:
    """Whoever has the server's answers sent to the log's readers makes them read nothing twice."""
    first = (await log.mark()).seq
    await log.mark()
    client = await new_client(steady_servers.nats_url)
    async with asyncio.timeout(20), aclosing(log.read(first - 1)) as batches:
        found = list(await anext(batches))
        for verb, question in (
            ("DIRECT.GET", b'{"seq":%d,"batch":10}' % first),
            ("DIRECT.GET", b'{"seq":%d}' % first),
            ("STREAM.MSG.GET", b'{"seq":%d}' % first),
            ("STREAM.INFO", b""),
        ):
            subject = f"$JS.API.{verb}.{STREAM}"
            await client.publish(subject, question, reply="cache.log.v1.cache.marks.v1.api")
        await client.flush()
        last = (await log.mark()).seq
        while found[-1].seq < last:
            found += await anext(batches)
    assert [message.seq for message in found] == list(range(first, last + 1))
    assert await take(log, first - 1, len(found)) == found

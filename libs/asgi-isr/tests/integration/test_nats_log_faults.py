"""`NatsLog` when the server is frozen, killed or restarted, or a reader cannot keep up."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from urllib.parse import urlsplit

import pytest
from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import MARK_REQUEST_SUBJECT, STREAM, SUBJECT_PREFIX
from asgi_isr.logs.nats import NatsLog, close, connect, ensure_stream
from asgi_isr.ports import Log, LogMessage
from asgi_isr.testing import eventually
from nats.aio.client import Client
from nats.js import JetStreamContext
from perfcheck_embedded import Servers

NewClient = Callable[[str], Awaitable[Client]]
NewLog = Callable[..., NatsLog]
Freeze = Callable[[Servers, str], Awaitable[None]]
Take = Callable[[Log, int, int], Awaitable[list[LogMessage]]]
ENDLESS_S = 30  # who takes so long has no time limit
ATTEMPTS = 4  # to connect while the server is away


@pytest.fixture
async def log(new_log: NewLog, new_client: NewClient, nats_server: Servers) -> NatsLog:
    """Give a log that publishes its own marks, on a server that the test may harm."""
    client = await new_client(nats_server.nats_url)
    await ensure_stream(client.jetstream())
    return new_log(nats_server.nats_url, publish_marks=True, timeout_s=1)


async def settled(client: Client) -> None:
    """Wait until the server knows the subscriptions: nats-py sends the first ping before them."""
    await client.flush()
    await client.flush()


async def until_failure(
    reader: AsyncGenerator[Sequence[LogMessage], None],
) -> list[LogMessage]:
    """Read until the log is unavailable; return what came."""
    found: list[LogMessage] = []
    async with asyncio.timeout(ENDLESS_S), aclosing(reader):
        try:
            async for batch in reader:
                found += batch
        except LogUnavailableError:
            pass
    return found


async def mark_again(log: NatsLog) -> int:
    """Publish a mark as soon as the log is there, within 15 s."""
    return (await eventually(log.mark, timeout_s=15, ignoring=(LogUnavailableError,))).seq


async def test_reading_goes_on_over_a_restart_without_loss(
    nats_server: Servers, log: NatsLog, take: Take
) -> None:
    """A crash of the server ends the reading; reading again from the position loses nothing."""
    first = [(await log.mark()).seq for _ in range(20)]
    reader = log.read(first[0] - 1)
    found: list[LogMessage] = []
    while len(found) < len(first):
        found += await anext(reader)
    await nats_server.kill("nats")
    found += await until_failure(reader)
    assert [message.seq for message in found] == first
    await nats_server.restart("nats")
    await mark_again(log)
    last = (await log.mark()).seq
    messages = await take(log, first[-1], last - first[-1])
    assert [message.seq for message in messages] == list(range(first[-1] + 1, last + 1))


async def test_frozen_server_costs_one_time_limit(
    freeze: Freeze, nats_server: Servers, log: NatsLog
) -> None:
    """Every call ends at its time limit when the server hangs; reading ends after its silence."""
    seq = (await log.mark()).seq
    reader = log.read(seq - 1)
    await anext(reader)
    reading = asyncio.ensure_future(until_failure(reader))
    await freeze(nats_server, "nats")
    for call in (log.bounds, log.mark, lambda: log.stamp(seq), lambda: anext(log.read(seq))):
        async with asyncio.timeout(ENDLESS_S):
            with pytest.raises(LogUnavailableError):
                await call()
    await reading
    await nats_server.resume("nats")
    assert await mark_again(log) > seq


async def test_first_connection_has_a_time_limit(
    freeze: Freeze, new_log: NewLog, nats_server: Servers
) -> None:
    """A server that takes the connection and says nothing costs one time limit."""
    await freeze(nats_server, "nats")
    log = new_log(nats_server.nats_url, timeout_s=0.3)
    async with asyncio.timeout(ENDLESS_S):
        with pytest.raises(LogUnavailableError, match="NATS"):
            await log.bounds()
    await log.close()
    await nats_server.resume("nats")


async def test_server_that_comes_later_is_found(
    new_log: NewLog, new_client: NewClient, nats_server: Servers
) -> None:
    """Nothing is opened on construction; each call tries again until the server is there."""
    await nats_server.stop("nats")
    log = new_log(nats_server.nats_url, timeout_s=1)
    with pytest.raises(LogUnavailableError, match=r"cannot connect to NATS at nats://127") as error:
        await log.bounds()
    assert str(urlsplit(nats_server.nats_url).password) not in str(error.value)
    await nats_server.restart("nats")
    with pytest.raises(LogUnavailableError, match=f"stream {STREAM} does not exist"):
        await log.bounds()
    client = await new_client(nats_server.nats_url)
    await ensure_stream(client.jetstream())
    bounds = await log.bounds()
    assert bounds.last == bounds.first - 1
    await log.close()


async def test_deleted_stream_is_noticed(
    new_client: NewClient, nats_server: Servers, log: NatsLog
) -> None:
    """A stream that somebody deletes ends the reading within its silence."""
    seq = (await log.mark()).seq
    client = await new_client(nats_server.nats_url)
    reader = log.read(seq - 1)
    await anext(reader)
    reading = asyncio.ensure_future(until_failure(reader))
    await client.jetstream().delete_stream(STREAM)
    await reading


async def test_reading_creates_nothing_on_the_server(
    new_client: NewClient, nats_server: Servers, log: NatsLog
) -> None:
    """A reader needs no consumer, so it needs no right to create one."""
    seq = (await log.mark()).seq
    js = (await new_client(nats_server.nats_url)).jetstream()
    async with aclosing(log.read(seq - 1)) as batches:
        await anext(batches)
        assert not await js.consumers_info(STREAM)


async def test_reader_that_is_too_slow_loses_nothing(
    new_log: NewLog, nats_server: Servers, log: NatsLog
) -> None:
    """What is more than the bound while it waits is fetched later, in its place."""
    slow = new_log(nats_server.nats_url, timeout_s=5, pending_messages_max=100)
    seq = last = (await log.mark()).seq
    found: list[LogMessage] = []
    async with asyncio.timeout(30), aclosing(slow.read(seq - 1)) as batches:
        found += await anext(batches)
        for _ in range(300):
            last = (await log.mark()).seq
        (reader,) = slow._readers
        await eventually(lambda: reader._known == last)
        assert len(reader._pending) <= 100
        async for batch in batches:
            found += batch
            if found[-1].seq == last:
                break
    assert [message.seq for message in found] == list(range(seq, last + 1))


async def test_large_backlog_arrives_whole_and_in_bounds(
    new_client: NewClient, nats_server: Servers, log: NatsLog
) -> None:
    """What stands in the log is asked for as the reader reads, never all at once."""
    client = await new_client(nats_server.nats_url)
    js = client.jetstream()
    body = b"x" * 200_000
    seqs = [(await js.publish(f"{SUBJECT_PREFIX}.test", body)).seq for _ in range(500)]
    count = 0
    async with asyncio.timeout(30), aclosing(log.read(seqs[0] - 1)) as batches:
        async for batch in batches:
            for message in batch:
                assert message.seq == seqs[count]
                count += 1
            if count == 500:
                break
            await asyncio.sleep(0.02)


async def test_closing_the_log_ends_its_readers(log: NatsLog) -> None:
    """`close` cuts off who waits; the next call opens the log again."""
    seq = (await log.mark()).seq
    reader = log.read(seq - 1)
    await anext(reader)
    reading = asyncio.ensure_future(until_failure(reader))
    await asyncio.sleep(0)  # it waits now
    await log.close()
    async with asyncio.timeout(ENDLESS_S):
        await reading
    assert (await log.bounds()).last == seq


async def test_nobody_to_ask_for_a_mark(
    new_log: NewLog, new_client: NewClient, nats_server: Servers, log: NatsLog
) -> None:
    """Without a relay, or with one that does not answer, a mark fails within its time limit."""
    assert (await log.mark()).seq
    asking = new_log(nats_server.nats_url, timeout_s=1)
    with pytest.raises(LogUnavailableError, match=f"no responders at {MARK_REQUEST_SUBJECT}"):
        await asking.mark()
    relay = await new_client(nats_server.nats_url)
    await relay.subscribe(MARK_REQUEST_SUBJECT)
    await settled(relay)
    async with asyncio.timeout(ENDLESS_S):
        with pytest.raises(LogUnavailableError, match="no answer"):
            await asking.mark()


async def test_changes_of_the_connection_are_logged_once(
    nats_server: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that is away for many attempts gives few lines: what broke, why, when it is back."""
    caplog.set_level(logging.INFO, logger="asgi_isr")
    changes: list[bool] = []
    client = await connect(
        nats_server.nats_url,
        name="test",
        timeout_s=10,
        on_change=lambda: changes.append(client.is_connected),
    )
    try:
        await nats_server.kill("nats")
        await eventually(
            lambda: client._server_pool[0].reconnects >= ATTEMPTS, timeout_s=20, poll_s=0.02
        )
        await nats_server.restart("nats")
        await eventually(lambda: len(changes) >= 2, timeout_s=10)
    finally:
        await close(client)
    assert changes[:2] == [False, True]
    lines = [record.getMessage() for record in caplog.records]
    assert 2 <= len(lines) <= 4
    assert sum("disconnected" in line for line in lines) == 1
    assert "reconnected" in lines[-1]


def _is_disconnected(client: Client) -> bool:
    return not client.is_connected


async def test_closing_while_the_server_goes_away_is_quiet(nats_server: Servers) -> None:
    """A connection that breaks while it is closed closes at once, and cancels nobody."""
    for turns in range(8):
        client = await connect(nats_server.nats_url, name="test", timeout_s=10)
        await nats_server.kill("nats")
        await eventually(partial(_is_disconnected, client), poll_s=0)
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(ENDLESS_S):
            await close(client)
        assert client.is_closed
        await nats_server.restart("nats")


async def test_client_of_the_caller_stays_open(
    new_log: NewLog, new_client: NewClient, js: JetStreamContext, steady_servers: Servers
) -> None:
    """A log on a client that it was given uses it and leaves it open."""
    await ensure_stream(js)
    client = await new_client(steady_servers.nats_url)
    log = new_log(client, publish_marks=True)
    seq = (await log.mark()).seq
    assert (await log.bounds()).last == seq
    await log.close()
    assert client.is_connected
    await close(client)
    with pytest.raises(LogUnavailableError):
        await new_log(client).bounds()

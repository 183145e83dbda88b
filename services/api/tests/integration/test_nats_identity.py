"""Each service with its own NATS user: what it needs works, and what it must not do is refused."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import nats
import pytest
from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import MARK_REQUEST_SUBJECT, STREAM, Invalidation
from asgi_isr.logs.nats import NatsLog, close, connect, ensure_stream, inbox_prefix
from asgi_isr.testing import eventually
from nats.aio.client import Client
from perfcheck_api import outbox
from perfcheck_api.db import connect as connect_to_database
from perfcheck_api.outbox.metrics import RelayMetrics
from perfcheck_api.outbox.relay import Relay
from perfcheck_chassis.process import background_tasks
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import LOG_API
from perfcheck_embedded import Servers, servers
from prometheus_client import CollectorRegistry

BFF = "frontend-bff"


def new_metrics() -> RelayMetrics:
    """Return metrics in a registry of their own."""
    return RelayMetrics(CollectorRegistry())


@pytest.fixture(scope="module")
def own() -> Iterator[Servers]:
    """Give a NATS of its own, whose log no other test changes."""
    with servers(postgres=False, valkey=False) as started:
        yield started


@pytest.fixture
async def clients(own: Servers) -> AsyncIterator[dict[str, Client]]:
    """Give a connection of each user."""
    opened = {
        name: await connect(url, name=name, timeout_s=10) for name, url in own.nats_urls.items()
    }
    yield opened
    for client in opened.values():
        await close(client)


@pytest.fixture
async def relay(schema_url: str, own: Servers, clients: dict[str, Client]) -> AsyncIterator[str]:
    """Run the api's relay as the user `api`; give the database that it publishes from."""
    js = clients["test"].jetstream()
    await ensure_stream(js)
    async with background_tasks(
        relay=Relay(
            Secret(schema_url), own.nats_urls["api"], name="relay-test", metrics=new_metrics()
        ).run()
    ):
        yield schema_url


async def _answered(log: NatsLog) -> bool:
    try:
        await log.mark()
    except LogUnavailableError:  # the relay still starts
        return False
    return True


async def test_a_bff_follows_the_log_and_gets_marks(relay: str, own: Servers) -> None:
    """With its own user it reads the relay's events in order, and the relay answers it."""
    log = NatsLog(own.nats_urls[BFF], source=BFF, timeout_s=5, api_prefix=LOG_API)
    try:
        await eventually(partial(_answered, log), timeout_s=20)
        mark = await log.mark()
        assert await log.stamp(mark.seq) is not None
        assert (await log.bounds()).last >= mark.seq
        async with connect_to_database(
            Secret(relay), name="test", statement_timeout_s=20
        ) as connection:
            await outbox.append(connection, Invalidation(tags=("a",), reason="seen"))
        bodies = []
        async with asyncio.timeout(20):
            async for batch in log.read(mark.seq - 1):
                bodies += [message.body for message in batch]
                if any(b'"seen"' in body for body in bodies):
                    break
        assert mark.id.encode() in bodies[0]
    finally:
        await log.close()


async def test_an_answer_of_the_api_has_nothing_of_the_question(
    relay: str, own: Servers, clients: dict[str, Client]
) -> None:
    """Forged fields in a question, and an answer that goes where page servers hear the log.

    Were they sent back, the others would take the answer for a mark with that number.
    """
    assert relay
    log = NatsLog(own.nats_urls[BFF], source=BFF, timeout_s=5, api_prefix=LOG_API)
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def note(message: Any) -> None:
        if message.subject == target:
            heard.put_nowait(message)

    target = "cache.log.v1.cache.marks.v1.thief"
    await clients[BFF].subscribe("cache.log.v1.>", cb=note)
    forged = {"Nats-Sequence": "900000000", "Nats-Subject": target, "Cache-Sequence": "900000000"}
    try:
        await eventually(partial(_answered, log), timeout_s=20)
        await clients[BFF].publish(MARK_REQUEST_SUBJECT, b"", reply=target, headers=forged)
        answer = await asyncio.wait_for(heard.get(), 20)
    finally:
        await log.close()
    assert b"seq" in answer.data
    assert not answer.headers


@asynccontextmanager
async def _refusals(own: Servers, user: str) -> AsyncIterator[tuple[Client, asyncio.Queue[str]]]:
    """Connect as a user; collect the server's refusals, in lower case."""
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def note(error: Exception) -> None:
        refused.put_nowait(str(error).lower())

    client = Client()
    url = own.nats_urls[user]
    await client.connect(url, error_cb=note, inbox_prefix=inbox_prefix(url))
    yield client, refused
    await close(client)


FORBIDDEN = {
    BFF: [
        "cache.invalidations.v1.api",
        "cache.invalidations.v1.frontend-bff",
        "cache.marks.v1.api",
        "cache.marks.v1.frontend-bff",
        "cache.receipts.v1",
        "cache.dead-letters.v1.work",
        "cache.log.v1.cache.marks.v1.api",
        f"$JS.API.STREAM.INFO.{STREAM}",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.revalidator",
        "$JS.API.STREAM.CREATE.OTHER",
        "$JS.API.CONSUMER.CREATE.CACHE_RECEIPTS.x",
        "$JS.ACK.CACHE_RECEIPTS.api.1.1.1.1.0",
        "_INBOX_api.x",
        "_INBOX_frontend-bff.x",
    ],
    "revalidator": [
        "cache.invalidations.v1.api",
        "cache.invalidations.v1.revalidator",
        "cache.marks.v1.api",
        "cache.log.v1.cache.marks.v1.api",
        "$JS.API.CONSUMER.DURABLE.CREATE.CACHE_DEAD_LETTERS.x",
        "$JS.API.STREAM.SNAPSHOT.CACHE_DEAD_LETTERS",
        "$JS.API.STREAM.RESTORE.CACHE_DEAD_LETTERS",
        "$JS.API.STREAM.CREATE.OTHER",
        "cache.positions.v1.bff-1",
    ],
    "cli": [
        "cache.invalidations.v1.api",
        "cache.marks.v1.api",
        f"$JS.API.STREAM.INFO.{STREAM}",
        f"$JS.API.STREAM.DELETE.{STREAM}",
        "cache.mark-requests.v1",
    ],
    "api": [
        "cache.invalidations.v1.cli",
        "cache.positions.v1.bff-1",
        "cache.receipts.v1",
        f"$JS.API.STREAM.PURGE.{STREAM}",
        f"$JS.API.STREAM.MSG.DELETE.{STREAM}",
        f"$JS.API.CONSUMER.CREATE.{STREAM}.x",
        "cache.log.v1.cache.marks.v1.api",
        "_INBOX_frontend-bff.x",
    ],
}


@pytest.mark.parametrize("user", FORBIDDEN)
async def test_the_server_refuses_what_a_user_must_not_publish(
    user: str, own: Servers, clients: dict[str, Client]
) -> None:
    """Each subject is refused by the server itself, and the log stays as it was."""
    js = clients["test"].jetstream()
    await ensure_stream(js)
    before = (await js.stream_info(STREAM)).state.last_seq
    async with _refusals(own, user) as (client, refused), asyncio.timeout(10):
        for subject in FORBIDDEN[user]:
            await client.publish(subject, b"{}")
            assert f'publish to "{subject}"'.lower() in await refused.get()
    assert (await js.stream_info(STREAM)).state.last_seq == before


@pytest.mark.parametrize("user", [BFF, "revalidator", "cli", "api"])
@pytest.mark.parametrize("subject", ["cache.invalidations.v1.>", "_INBOX_test.>", ">"])
async def test_the_server_refuses_what_a_user_must_not_hear(
    user: str, subject: str, own: Servers
) -> None:
    """The answers of others, and events beside the log."""
    async with _refusals(own, user) as (client, refused), asyncio.timeout(10):
        await client.subscribe(subject)
        await client.flush()
        assert f'subscription to "{subject}"'.lower() in await refused.get()


async def test_a_named_publisher_publishes_under_its_name(
    own: Servers, clients: dict[str, Client]
) -> None:
    """Plain, or acknowledged; any client will do, with whatever inboxes it has by itself."""
    js = clients["test"].jetstream()
    await ensure_stream(js)
    client = await nats.connect(own.nats_urls["cli"])
    try:
        subject, body = "cache.invalidations.v1.cli", b'{"tags":["product:42"]}'
        first = await client.jetstream().publish(subject, body, timeout=10)
        await client.publish(subject, body)
        second = await client.jetstream().publish(subject, body, timeout=10)
    finally:
        await close(client)
    assert first.stream == STREAM
    assert second.seq == first.seq + 2
    assert {(await js.get_msg(STREAM, seq=first.seq + n)).subject for n in range(3)} == {subject}


async def test_a_late_answer_is_let_through_and_a_second_is_not(
    own: Servers, clients: dict[str, Client]
) -> None:
    """The api answers each request once, after it had to wait for the log."""
    asked: asyncio.Queue[str] = asyncio.Queue()
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(message: Any) -> None:
        asked.put_nowait(message.reply)  # across accounts another one than the inbox
        await asyncio.sleep(3)  # a mark may be long in coming; that is what is tested
        await api.publish(message.reply, b"first")
        await api.publish(message.reply, b"second")

    inbox = clients[BFF].new_inbox()

    async def take(message: Any) -> None:
        got.put_nowait(message.data)

    async with _refusals(own, "api") as (api, refused), asyncio.timeout(60):
        await api.subscribe(MARK_REQUEST_SUBJECT, cb=answer)
        for _ in range(2):  # nats-py sends the first ping before the subscription
            await api.flush()
        await clients[BFF].subscribe(inbox, cb=take)
        await clients[BFF].publish(MARK_REQUEST_SUBJECT, b"", reply=inbox)
        assert await got.get() == b"first"
        assert f'publish to "{asked.get_nowait()}"'.lower() in await refused.get()
        await clients[BFF].flush()
    assert got.empty()


async def test_a_wrong_password_is_told_and_not_shown(
    schema_url: str, own: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """Health and log name the server and the reason; the password is in neither."""
    url = f"nats://api:hunter2@{own.nats_url.rpartition('@')[2]}"
    relay = Relay(Secret(schema_url), url, name="relay-test", metrics=new_metrics())

    async def told() -> bool:
        return "Authorization Violation" in (await relay.unhealthy_reason() or "")

    with caplog.at_level(logging.DEBUG):
        async with background_tasks(relay=relay.run()):
            await eventually(told, timeout_s=20)
    reason = await relay.unhealthy_reason()
    assert reason is not None
    assert str(urlsplit(url).port) in reason
    assert "Authorization Violation" in caplog.text
    assert "hunter2" not in reason + caplog.text

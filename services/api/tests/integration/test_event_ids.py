"""The log takes an id once, whoever gives it: nobody can make an event vanish by taking its id."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.events import STREAM, Invalidation, decode
from asgi_isr.logs.nats import NatsLog, close, connect, ensure_stream
from asgi_isr.nats import PubAck
from asgi_isr.testing import RecordingApp, eventually, ready, request
from nats.js import JetStreamContext
from perfcheck_api import outbox
from perfcheck_api.db import Connection, DatabaseError, server
from perfcheck_api.db import connect as connect_to_database
from perfcheck_api.errors import BrokerError
from perfcheck_api.outbox import repository
from perfcheck_api.outbox.broker import Broker, connected
from perfcheck_api.outbox.metrics import RelayMetrics
from perfcheck_api.outbox.model import OUTBOX_SUBJECT, Acknowledged
from perfcheck_api.outbox.publisher import REDRAWS_MAX, Publisher
from perfcheck_api.outbox.window import MESSAGE_ID_HEADER, Message
from perfcheck_api.outbox.witness import Witness
from perfcheck_chassis.secret import Secret
from perfcheck_embedded import Servers
from prometheus_client import CollectorRegistry

SHOP = "cache.invalidations.v1.shop"
DEDUP_IDS = "SELECT dedup_id::text FROM outbox ORDER BY id"
DUPLICATES = "perfcheck_outbox_duplicates_total"

Thief = Callable[..., Awaitable[int]]


@pytest.fixture
async def steal(running: Servers, js: JetStreamContext) -> AsyncIterator[Thief]:
    """Give a function that publishes as the shop, under any id and headers; it returns the seq."""
    client = await connect(running.nats_urls["shop"], name="shop", timeout_s=10)
    shop = client.jetstream()
    await js.stream_info(STREAM)  # it exists

    async def take(message_id: object, body: bytes = b"{}", **headers: str) -> int:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        ack = await shop.publish(SHOP, body, headers={MESSAGE_ID_HEADER: str(message_id), **named})
        assert not ack.duplicate
        return int(ack.seq)

    yield take
    await close(client)


async def _append(url: str, *reasons: str) -> list[UUID]:
    events = [Invalidation(tags=("x",), reason=reason) for reason in reasons]
    async with (
        connect_to_database(Secret(url), name="test", statement_timeout_s=20) as connection,
        connection.transaction(),
    ):
        return [row.event_id for row in await outbox.append_many(connection, events)]


async def _begin(
    connection: Connection, broker: Broker, last: Acknowledged | None, registry: CollectorRegistry
) -> Publisher:
    database = Witness(await server(connection), await repository.place(connection))
    return await Publisher.begin(connection, broker, last, database, RelayMetrics(registry))


async def _publish_all(url: str, nats_url: str) -> float | None:
    """Publish what waits, in one session; return how many ids were somebody else's."""
    registry = CollectorRegistry()
    async with (
        connected(nats_url, name="test") as broker,
        connect_to_database(Secret(url), name="test", statement_timeout_s=20) as connection,
    ):
        last = await repository.last_acknowledged(connection)
        publisher = await _begin(connection, broker, last, registry)
        while await publisher.publish_batch():
            pass
    return registry.get_sample_value(DUPLICATES)


async def _end(js: JetStreamContext) -> int:
    return int((await js.stream_info(STREAM)).state.last_seq)


async def _ours(js: JetStreamContext, start: int) -> list[tuple[str, str]]:
    """Return (ce-id, reason) of the api's own events of the log from `start` on."""
    found = []
    for seq in range(start, await _end(js) + 1):
        message = await js.get_msg(STREAM, seq=seq)
        if message.subject == OUTBOX_SUBJECT:
            found.append(((message.headers or {})["ce-id"], decode(message.data or b"").reason))
    return found


async def test_a_public_id_that_was_taken_first_keeps_no_page_fresh(
    *, schema_url: str, running: Servers, relay_on: Any, steal: Thief, all_published: Any
) -> None:
    """Who publishes a committed row's id before the relay does leaves no page stale."""
    app = RecordingApp()
    app.headers["/x"] = [(b"cache-tag", b"x")]
    cache = PageCache(CacheSettings(instance="test"), log=NatsLog(running.nats_url, timeout_s=5))
    pages = CacheMiddleware(app, cache)
    async with cache:
        async with relay_on(schema_url, running.nats_url):
            await ready(cache, timeout_s=20)
            await request(pages, "/x")
            await request(pages, "/x")
            assert app.renders == ["/x"]
        [event_id] = await _append(schema_url, "data changed")
        await steal(event_id, ce_id=str(event_id), ce_source="api")
        async with relay_on(schema_url, running.nats_url):
            await all_published(schema_url)

            async def rendered_again() -> bool:
                await request(pages, "/x")
                return app.renders == ["/x", "/x"]

            await eventually(rendered_again, timeout_s=10)


async def test_nothing_shows_the_id_for_the_log_before_it_is_there(
    *, schema_url: str, open_client: Any, no_nats_url: str, fetch: Any
) -> None:
    """It is random, of each row's own, and stands in no answer of the api."""
    async with open_client(schema_url, nats_url=no_nats_url) as client:
        accepted = await client.post("/invalidations", {"tags": ["x"]})
        write = await client.put("/days/2020-05-04", {"rates": {"USD": 1.1}})
        receipts = await client.get("/invalidations")
        one = await client.get(f"/invalidations/{accepted.json()['id']}")
        metrics = await client.send("GET", "/metrics", root="")
    secrets = {secret for (secret,) in fetch(schema_url, DEDUP_IDS)}
    public = {str(row) for (row,) in fetch(schema_url, "SELECT event_id FROM outbox")}
    assert len(secrets) == 2
    assert {UUID(secret).version for secret in secrets} == {4}
    assert secrets.isdisjoint(public)
    for answer in (accepted, write, receipts, one, metrics):
        assert not [secret for secret in secrets if secret.encode() in answer.body]


@pytest.mark.parametrize("taken", [[0], [1], [0, 2], [0, 1, 2]])
async def test_a_duplicate_on_the_first_attempt_is_published_again(
    *, schema_url: str, running: Servers, js: Any, steal: Thief, fetch: Any, taken: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Even where the secret id was known, the event is published, counted and told; once each."""
    start = await _end(js) + 1
    ids = await _append(schema_url, "a", "b", "c")
    secrets = [secret for (secret,) in fetch(schema_url, DEDUP_IDS)]
    for place in taken:
        await steal(secrets[place])
    assert await _publish_all(schema_url, running.nats_url) == len(taken)
    found = await _ours(js, start)
    assert sorted(reason for _, reason in found) == ["a", "b", "c"]
    assert found[-1][1] == "c"  # it bears the number of all
    assert {event_id for event_id, _ in found} == {str(event_id) for event_id in ids}
    for (seq,) in fetch(schema_url, "SELECT seq FROM outbox"):
        assert (await js.get_msg(STREAM, seq=seq)).subject == OUTBOX_SUBJECT
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == len(taken)
    assert str(ids[taken[0]]) in errors[0]
    assert not [secret for secret in secrets if secret in caplog.text]


async def test_a_lost_answer_doubles_nothing(
    *, schema_url: str, running: Servers, js: Any, fetch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What an earlier attempt brought into the log is found there, and not published again."""
    start = await _end(js) + 1
    await _append(schema_url, "a", "b", "c")
    await _publish_all(schema_url, running.nats_url)
    before = fetch(schema_url, "SELECT id, seq, dedup_id FROM outbox ORDER BY id")
    fetch(schema_url, "UPDATE outbox SET published_at = NULL, seq = NULL")
    assert await _publish_all(schema_url, running.nats_url) == 0
    assert [reason for _, reason in await _ours(js, start)] == ["a", "b", "c"]
    assert fetch(schema_url, "SELECT id, seq, dedup_id FROM outbox ORDER BY id") == before
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("place", [0, 1], ids=["ahead", "last"])
async def test_an_id_that_another_took_between_two_attempts(
    *, schema_url: str, running: Servers, js: Any, steal: Thief, fetch: Any, place: int
) -> None:
    """A duplicate answer counts only if the log holds our row there, whatever the other wrote."""
    start = await _end(js) + 1
    ids = await _append(schema_url, "a", "b")
    fetch(schema_url, "UPDATE outbox SET attempts = 1")  # the first one was lost on its way
    rows = fetch(schema_url, "SELECT dedup_id, payload FROM outbox ORDER BY id")
    secret, payload = rows[place]
    await steal(
        secret, payload, ce_id=str(ids[place]), ce_source="api", Status="503", Nats_Subject="x"
    )
    assert await _publish_all(schema_url, running.nats_url) == 1
    assert [reason for _, reason in await _ours(js, start)] == ["a", "b"]


async def test_ids_that_a_lost_log_showed_are_not_used_again(
    *, schema_url: str, running: Servers, js: Any, steal: Thief, fetch: Any, relay_on: Any,
    all_published: Any,
) -> None:  # fmt: skip
    """Who takes the ids of lost events in the new log, before they are there, is too late."""
    ids = await _append(schema_url, "a", "b")
    await _publish_all(schema_url, running.nats_url)
    seen = [secret for (secret,) in fetch(schema_url, DEDUP_IDS)]
    await js.delete_stream(STREAM)
    await ensure_stream(js)
    start = await _end(js) + 1
    for secret in seen:
        await steal(secret)
    ids += await _append(schema_url, "c")
    async with relay_on(schema_url, running.nats_url):
        await all_published(schema_url)
    assert [event_id for event_id, _ in await _ours(js, start)] == [str(each) for each in ids]
    assert not set(seen) & {secret for (secret,) in fetch(schema_url, DEDUP_IDS)}


async def test_anothers_message_is_no_proof_of_the_log(
    *, schema_url: str, running: Servers, steal: Thief, relay_on: Any, js: Any,
    all_published: Any,
) -> None:  # fmt: skip
    """Where the newest of our messages stood stands another's with its id: it was lost."""
    known = uuid4()
    seq = await steal(known, Status="408")
    async with connect_to_database(
        Secret(schema_url), name="test", statement_timeout_s=20
    ) as connection:
        await repository.mark_acknowledged(connection, Acknowledged(seq, known))
    await _append(schema_url, "a")
    async with relay_on(schema_url, running.nats_url):
        await all_published(schema_url)
    assert (await js.stream_info(STREAM)).config.first_seq > seq


async def test_two_relays_that_publish_the_same_rows(
    *, schema_url: str, running: Servers, js: Any, fetch: Any
) -> None:
    """One takes over from another that stood still, and thaws; the log has each row once."""
    start = await _end(js) + 1
    await _append(schema_url, "a", "b")
    registry = CollectorRegistry()
    async with connected(running.nats_url, name="frozen") as broker:
        async with connect_to_database(
            Secret(schema_url), name="frozen", statement_timeout_s=20
        ) as connection:
            frozen = await _begin(connection, broker, None, registry)
            _, rows = await repository.claim(connection, rows_max=10, bytes_max=10_000)
        assert await _publish_all(schema_url, running.nats_url) == 0
        with pytest.raises(DatabaseError):  # its session was ended, so that another could lead
            await frozen._publish(rows, [])
    assert registry.get_sample_value(DUPLICATES) == 0
    assert fetch(schema_url, "SELECT count(*) FROM outbox WHERE seq IS NOT NULL") == [(2,)]
    assert [reason for _, reason in await _ours(js, start)] == ["a", "b"]


async def test_a_row_of_the_release_before_gets_its_id_late(
    *, schema_url: str, running: Servers, js: Any, fetch: Any
) -> None:
    """What was written, or published, before there was the column is published all the same."""
    start = await _end(js) + 1
    await _append(schema_url, "a", "b")
    fetch(schema_url, "UPDATE outbox SET dedup_id = NULL")
    await _publish_all(schema_url, running.nats_url)
    assert [reason for _, reason in await _ours(js, start)] == ["a", "b"]
    assert fetch(schema_url, "SELECT count(DISTINCT dedup_id) FROM outbox") == [(2,)]


class AlwaysDuplicate(Broker):
    """A broker that calls a duplicate whatever is published, and takes nothing."""

    async def publish(self, message: Message) -> PubAck:  # noqa: ARG002  the same whatever it is
        """Answer as if the first message of the log had the id of `message`."""
        return PubAck(stream=STREAM, seq=1, duplicate=True)


async def test_a_log_that_calls_everything_a_duplicate_ends_the_session(
    *, schema_url: str, running: Servers, js: Any, fetch: Any
) -> None:
    """Ids are drawn a few times; then the row waits for the next session, which publishes it."""
    start = await _end(js) + 1
    await _append(schema_url, "a")
    registry = CollectorRegistry()
    async with (
        connected(running.nats_url, name="test") as broker,
        connect_to_database(Secret(schema_url), name="test", statement_timeout_s=20) as connection,
    ):
        lying = AlwaysDuplicate(broker._client, asyncio.Event())
        publisher = await _begin(connection, lying, None, registry)
        with pytest.raises(BrokerError, match="for a duplicate again"):
            await publisher.publish_batch()
    assert registry.get_sample_value(DUPLICATES) == REDRAWS_MAX
    assert fetch(schema_url, "SELECT seq FROM outbox") == [(None,)]
    assert await _publish_all(schema_url, running.nats_url) == 0
    assert [reason for _, reason in await _ours(js, start)] == ["a"]


async def test_the_id_of_a_mark_that_is_taken_is_no_mark(
    *, schema_url: str, running: Servers, js: Any, steal: Thief
) -> None:
    """Nobody is told a mark that the log does not hold; the next session draws another id."""
    taken = uuid4()
    await steal(taken)
    end = await _end(js)
    registry = CollectorRegistry()
    async with (
        connected(running.nats_url, name="test") as broker,
        connect_to_database(Secret(schema_url), name="test", statement_timeout_s=20) as connection,
    ):
        publisher = await _begin(connection, broker, None, registry)
        with pytest.raises(BrokerError, match="has the new mark's id already"):
            await publisher.mark([], taken)
        assert await repository.last_acknowledged(connection) is None
    assert await _end(js) == end
    assert registry.get_sample_value(DUPLICATES) == 1

import asyncio
import json
import shutil
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgi_isr.events import MARK_REQUEST_SUBJECT, STREAM, Invalidation, decode
from asgi_isr.logs.nats import NatsLog, close, connect, ensure_stream
from asgi_isr.testing import eventually
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from perfcheck_api import outbox
from perfcheck_api.db import connect as connect_to_database
from perfcheck_api.outbox import repository
from perfcheck_api.outbox.broker import connected
from perfcheck_api.outbox.log_identity import verify
from perfcheck_api.outbox.model import Acknowledged
from perfcheck_chassis.secret import Secret
from perfcheck_embedded import Servers, servers

UNPUBLISHED = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
ROWS = "SELECT event_id::text, seq FROM outbox ORDER BY id"
LAST = "2026-10-30"


async def _end(js: JetStreamContext) -> int:
    return int((await js.stream_info(STREAM)).state.last_seq)


async def _append(url: str, *reasons: str) -> list[UUID]:
    async with connect_to_database(Secret(url), name="test", statement_timeout_s=20) as connection:
        return [
            (await outbox.append(connection, Invalidation(tags=("x",), reason=reason))).event_id
            for reason in reasons
        ]


async def test_events_are_published_once_and_in_order(
    *,
    relay_on: Any,
    schema_url: str,
    running: Servers,
    js: Any,
    published: Any,
    fetch: Any,
    all_published: Any,
) -> None:
    """Each row becomes one message with its id, in the order of the outbox, and keeps its seq."""
    start = await _end(js) + 1
    first = await _append(schema_url, *(str(number) for number in range(300)))
    async with relay_on(schema_url, running.nats_url):
        await all_published(schema_url)
        second = await _append(schema_url, "late")
        await all_published(schema_url)
    log = await published(start)
    assert [identity for _, identity, _ in log] == [str(event_id) for event_id in first + second]
    assert [decode(body).reason for *_, body in log[:3]] == ["0", "1", "2"]
    assert fetch(schema_url, ROWS) == [(identity, seq) for seq, identity, _ in log]
    [last] = fetch(schema_url, "SELECT seq, message_id::text FROM relay_state")
    assert last[0] == log[-1][0]
    assert last[1] == ((await js.get_msg(STREAM, seq=last[0])).headers or {})["Nats-Msg-Id"]


async def test_a_write_reaches_the_log_at_once(
    *, copy_url: str, open_client: Any, js: Any, published: Any
) -> None:
    """The commit wakes the relay; the message carries the event's id, tags and attributes."""
    async with open_client(copy_url) as client:

        async def publishing() -> bool:
            answer = await client.send("GET", "/health")
            return bool(answer.json()["status"] == "pass")

        await eventually(publishing, timeout_s=20)
        start = await _end(js) + 1
        answer = await client.patch(f"/days/{LAST}", {"rates": {"USD": 2}})

        async def holds() -> bool:
            return await _end(js) >= start

        await eventually(holds, timeout_s=0.9)
    [(seq, identity, body)] = await published(start)
    assert identity == answer.json()["event_id"]
    assert {f"day:{LAST}", "currency:usd", "latest"} <= set(decode(body).tags)
    headers = (await js.get_msg(STREAM, seq=seq)).headers
    assert (headers["ce-source"], headers["ce-id"]) == ("api", identity)
    assert headers["ce-time"].startswith("20")


async def test_one_of_several_relays_publishes(
    *, relay_on: Any, schema_url: str, running: Servers, js: Any, published: Any, all_published: Any
) -> None:
    """Two relays on one outbox publish each row once; when one ends the other goes on."""
    start = await _end(js) + 1
    async with relay_on(schema_url, running.nats_url):
        async with relay_on(schema_url, running.nats_url):
            one = await _append(schema_url, *"abc")
            await all_published(schema_url)
        two = await _append(schema_url, *"def")
        await all_published(schema_url)
    log = await published(start)
    assert [identity for _, identity, _ in log] == [str(event_id) for event_id in one + two]


async def test_marks_follow_what_was_committed_before(
    *, relay_on: Any, schema_url: str, running: Servers, js: Any, fetch: Any
) -> None:
    """A request gets the sequence of a mark that lies beyond every event committed before it."""
    async with relay_on(schema_url, running.nats_url):
        log = NatsLog(running.nats_url, source="test", timeout_s=5)

        async def answered() -> bool:
            return bool(fetch(schema_url, "SELECT count(*) FROM relay_state") != [(0,)])

        await _append(schema_url, "first")
        await eventually(answered, timeout_s=20)
        await _append(schema_url, *(str(number) for number in range(50)))
        given = await asyncio.gather(*(log.mark() for _ in range(20)))
        marks = [mark.seq for mark in given]
        [(newest,)] = fetch(schema_url, "SELECT max(seq) FROM outbox")
        [(unpublished,)] = fetch(schema_url, UNPUBLISHED)
        await log.close()
    assert unpublished == 0
    assert min(marks) > newest
    assert len(set(marks)) < 20  # one mark serves all who wait
    message = await js.get_msg(STREAM, seq=marks[0])
    assert (message.subject, decode(message.data).mark) == ("cache.marks.v1.api", given[0].id)
    assert UUID(message.headers["Nats-Msg-Id"]).version == 4
    assert message.headers["Nats-Msg-Id"] == given[0].id
    assert fetch(schema_url, "SELECT seq FROM relay_state") == [(max(marks),)]


async def test_a_failed_pass_answers_no_mark(
    *, relay_on: Any, schema_url: str, running: Servers, fetch: Any
) -> None:
    """While rows cannot be read, a request for a mark gets no answer: nothing is proven."""
    async with relay_on(schema_url, running.nats_url):
        await _append(schema_url, "first")

        async def published_one() -> bool:
            return bool(fetch(schema_url, UNPUBLISHED) == [(0,)])

        await eventually(published_one, timeout_s=20)
        fetch(schema_url, "ALTER TABLE outbox RENAME TO hidden")
        client = await connect(running.nats_url, name="test")
        with pytest.raises(Exception, match=r"timeout|no responders"):
            await client.request(MARK_REQUEST_SUBJECT, b"", timeout=1)
        fetch(schema_url, "ALTER TABLE hidden RENAME TO outbox")

        async def mark() -> bool:
            try:
                reply = await client.request(MARK_REQUEST_SUBJECT, b"", timeout=1)
            except Exception:  # noqa: BLE001  not yet
                return False
            return bool(json.loads(reply.data)["seq"] > 0)

        await eventually(mark, timeout_s=20)
        await close(client)


async def test_writes_go_on_while_nats_is_killed(
    *,
    copy_url: str,
    open_client: Any,
    running: Servers,
    published: Any,
    js: Any,
    all_published: Any,
) -> None:
    """Writes commit without NATS; after its restart their events follow, once each and in order."""
    start = await _end(js) + 1
    async with open_client(copy_url) as client:
        ids = [(await client.patch(f"/days/{LAST}", {"rates": {"USD": 2}})).json()["event_id"]]
        await all_published(copy_url)
        await running.kill("nats")
        for rate in range(3, 8):
            answer = await client.patch(f"/days/{LAST}", {"rates": {"USD": rate}})
            assert answer.status == 200
            ids.append(answer.json()["event_id"])
        await running.restart("nats")
        await all_published(copy_url)
        answer = await client.patch(f"/days/{LAST}", {"rates": {"USD": 9}})
        ids.append(answer.json()["event_id"])
        await all_published(copy_url)
    await eventually(lambda: js._nc.is_connected, timeout_s=20)
    assert [identity for _, identity, _ in await published(start)] == ids


async def test_a_stream_that_vanished_is_recreated(
    *,
    relay_on: Any,
    schema_url: str,
    running: Servers,
    published: Any,
    js: Any,
    fetch: Any,
    all_published: Any,
) -> None:
    """The new log lies beyond the old one, and holds the lost events again, in order."""
    ids = [str(event_id) for event_id in await _append(schema_url, *"abc")]
    async with relay_on(schema_url, running.nats_url):
        await all_published(schema_url)
    old_end = await _end(js)
    await js.delete_stream(STREAM)
    async with relay_on(schema_url, running.nats_url):
        ids += [str(event_id) for event_id in await _append(schema_url, "d")]
        await all_published(schema_url)
    info = await js.stream_info(STREAM)
    assert info.config.first_seq > old_end
    assert [identity for _, identity, _ in await published(info.config.first_seq)] == ids
    assert fetch(schema_url, "SELECT min(seq) FROM outbox") == [(info.config.first_seq,)]


async def test_a_stream_that_vanishes_while_publishing_is_recreated(
    *, relay_on: Any, schema_url: str, running: Servers, js: Any, published: Any, all_published: Any
) -> None:
    """The relay finds out when it publishes next, without a new connection."""
    async with relay_on(schema_url, running.nats_url):
        ids = [str(event_id) for event_id in await _append(schema_url, "a")]
        await all_published(schema_url)
        await js.delete_stream(STREAM)
        ids += [str(event_id) for event_id in await _append(schema_url, "b")]
        await all_published(schema_url)
    first = (await js.stream_info(STREAM)).config.first_seq
    assert [identity for _, identity, _ in await published(first)] == ids


async def test_a_log_that_another_created_anew_gets_the_lost_events(
    *, relay_on: Any, schema_url: str, running: Servers, js: Any, published: Any, all_published: Any
) -> None:
    """The relay uses the new log as it is, and publishes again what only the old one held."""
    ids = [str(event_id) for event_id in await _append(schema_url, *"ab")]
    async with relay_on(schema_url, running.nats_url):
        await all_published(schema_url)
    await js.delete_stream(STREAM)
    await ensure_stream(js)
    created = (await js.stream_info(STREAM)).config.first_seq
    async with (
        connect_to_database(Secret(schema_url), name="test", statement_timeout_s=20) as connection,
        connected(running.nats_url, name="test") as broker,
    ):
        assert await verify(connection, broker) is None
    async with relay_on(schema_url, running.nats_url):
        await all_published(schema_url)
    assert (await js.stream_info(STREAM)).config.first_seq == created
    assert [identity for _, identity, _ in await published(created)] == ids


@pytest.mark.parametrize("overwritten", [False, True])
async def test_a_log_that_lost_its_end_is_replaced(
    *,
    relay_on: Any,
    schema_url: str,
    fetch: Any,
    overwritten: bool,
    all_published: Any,
    copy_of_log: Any,
) -> None:
    """Events that the broker lost after acknowledging them are found, and published again.

    Whether or not others published in their places since.
    """
    own, keep, lose = copy_of_log
    ids = [str(event_id) for event_id in await _append(schema_url, *"ab")]
    async with relay_on(schema_url, own.nats_url):
        await all_published(schema_url)
    await keep()
    lost = [str(event_id) for event_id in await _append(schema_url, *"cd")]
    async with relay_on(schema_url, own.nats_url):
        await all_published(schema_url)
    [(acknowledged,)] = fetch(schema_url, "SELECT seq FROM relay_state")
    await lose()
    client = await connect(own.nats_url, name="test", timeout_s=10)
    context = client.jetstream()
    assert await _end(context) == acknowledged - 2
    if overwritten:
        for _ in range(3):
            await context.publish("cache.invalidations.v1.other", b'{"tags":["y"]}')

    async def replaced() -> bool:
        try:
            log = await context.stream_info(STREAM)
        except NotFoundError:
            return False  # between the deletion and the creation
        first = log.config.first_seq or 0
        return first > acknowledged and log.state.last_seq >= first + len(lost) - 1

    async with relay_on(schema_url, own.nats_url):
        await eventually(replaced, timeout_s=20)
        await all_published(schema_url)
    state = (await context.stream_info(STREAM)).state
    found = [
        ((await context.get_msg(STREAM, seq=seq)).headers or {})["ce-id"]
        for seq in range(state.first_seq, state.last_seq + 1)
    ]
    await close(client)
    assert found == lost
    assert [identity for identity, _ in fetch(schema_url, ROWS)] == ids + lost


@pytest.fixture
def copy_of_log() -> Any:
    """Give a NATS of the test's own, and functions that keep its files and put them back."""
    with servers(postgres=False, valkey=False) as own:
        [store] = [path for path in own.directory.rglob("jetstream") if path.is_dir()]
        kept = store.with_name("kept")

        async def keep() -> None:
            await own.stop("nats")
            shutil.copytree(store, kept)
            await own.restart("nats")

        async def lose() -> None:
            await own.kill("nats")
            stat = store.stat()
            shutil.rmtree(store)
            shutil.copytree(kept, store)
            for path in [store, *store.rglob("*")]:
                shutil.chown(path, stat.st_uid, stat.st_gid)
            await own.restart("nats")

        yield own, keep, lose


async def test_published_rows_are_pruned_but_for_the_newest(schema_url: str, fetch: Any) -> None:
    """Old published rows go in batches; young, unpublished and the newest ones stay."""
    await _append(schema_url, *(str(number) for number in range(10)))
    [(ids,)] = fetch(schema_url, "SELECT array_agg(id ORDER BY id) FROM outbox")
    fetch(
        schema_url,
        "UPDATE outbox SET seq = id, published_at = now() - interval '2 days'"
        " WHERE id <> (SELECT id FROM outbox ORDER BY id OFFSET 2 LIMIT 1)",
    )
    async with connect_to_database(
        Secret(schema_url), name="test", statement_timeout_s=20
    ) as connection:
        deleted = [
            await repository.prune(connection, age_s=86_400, rows_kept=4, rows_max=3)
            for _ in range(3)
        ]
        assert deleted == [3, 1, 0]
        assert await repository.prune(connection, age_s=3 * 86_400, rows_kept=0, rows_max=9) == 0
    assert fetch(schema_url, "SELECT array_agg(id ORDER BY id) FROM outbox") == [
        ([ids[2], *ids[5:]],)
    ]


async def test_the_last_acknowledged_never_goes_back(schema_url: str) -> None:
    """A duplicate's old sequence does not replace a newer one."""
    newer, older = Acknowledged(20, uuid4()), Acknowledged(10, uuid4())
    async with connect_to_database(
        Secret(schema_url), name="test", statement_timeout_s=20
    ) as connection:
        await repository.mark_acknowledged(connection, newer)
        await repository.mark_acknowledged(connection, older)
        assert await repository.last_acknowledged(connection) == newer

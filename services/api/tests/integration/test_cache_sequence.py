import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import pytest
from asgi_isr.events import SEQUENCE_HEADER, STREAM, Invalidation, decode
from asgi_isr.logs.nats import NatsLog, close, connect, ensure_stream
from asgi_isr.testing import eventually
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy
from perfcheck_api import outbox
from perfcheck_api.db import connect as connect_to_database
from perfcheck_api.outbox.model import OUTBOX_SUBJECT
from perfcheck_chassis.secret import Secret
from perfcheck_embedded import Servers, servers

ROWS = "SELECT id, event_id::text, seq FROM outbox ORDER BY id"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def own() -> Iterator[Servers]:
    """Give a NATS of the test's own, to limit and to kill."""
    with servers(postgres=False, valkey=False) as started:
        yield started


@pytest.fixture
async def log(own: Servers) -> AsyncIterator[JetStreamContext]:
    """Give JetStream of that NATS, with the stream of invalidations."""
    client = await connect(own.nats_url, name="test", timeout_s=10)
    context = client.jetstream()
    await ensure_stream(context)
    yield context
    await close(client)


class Logged(NamedTuple):
    """A message of the log."""

    seq: int
    subject: str
    identity: str
    through: int
    body: bytes
    headers: dict[str, str]


async def _read(context: JetStreamContext) -> list[Logged]:
    """Return every message of the log, in order."""
    state = (await context.stream_info(STREAM)).state

    async def one(seq: int) -> Logged:
        message = await context.get_msg(STREAM, seq=seq)
        headers = message.headers or {}
        through = int(headers[SEQUENCE_HEADER])
        subject, body = message.subject or "", message.data or b""
        return Logged(seq, subject, headers.get("ce-id", ""), through, body, headers)

    found: list[Logged] = []
    for start in range(state.first_seq, state.last_seq + 1, 100):
        seqs = range(start, min(start + 100, state.last_seq + 1))
        found += await asyncio.gather(*(one(seq) for seq in seqs))
    return found


def _check(log: list[Logged], rows: list[tuple[int, str, int]]) -> None:
    """Assert that the numbers are true, every row is in the log, and the outbox says where."""
    number_of = {identity: number for number, identity, _ in rows}
    assert len(number_of) == len(rows)
    missing, through = sorted(number_of.values(), reverse=True), 0
    seen: set[int] = set()
    for message in log:
        seen.add(number_of.get(message.identity, 0))
        while missing and missing[-1] in seen:
            through = missing.pop()
        lowest = missing[-1] if missing else through + 1
        assert message.through < lowest, message
    assert missing == []
    at = {message.seq: message.identity for message in log}
    assert [(at[seq], number) for number, _, seq in rows] == [
        (identity, number) for number, identity, _ in rows
    ]


async def _append(url: str, *events: Invalidation, traceparent: str | None = None) -> None:
    async with (
        connect_to_database(Secret(url), name="test", statement_timeout_s=20) as connection,
        connection.transaction(),
    ):
        for start in range(0, len(events), 1000):
            some = events[start : start + 1000]
            await outbox.append_many(connection, some, traceparents=[traceparent] * len(some))


def _events(count: int) -> list[Invalidation]:
    return [Invalidation(tags=(f"x:{number}",)) for number in range(count)]


async def test_numbers_of_events_and_marks_are_true(
    *,
    schema_url: str,
    own: Servers,
    log: JetStreamContext,
    fetch: Any,
    relay_on: Any,
    all_published: Callable[[str], Awaitable[None]],
) -> None:
    """Every row up to an event's or mark's number stands in the log at or before it."""
    async with relay_on(schema_url, own.nats_url):
        marks = NatsLog(own.nats_url, source="test", timeout_s=10)
        await _append(schema_url, *_events(1))
        await all_published(schema_url)
        await marks.mark()
        await asyncio.gather(
            *(_append(schema_url, *_events(count)) for count in (600, 1, 3, 1, 40)),
            marks.mark(),
        )
        await all_published(schema_url)
        await marks.mark()
        await marks.close()
    found, rows = await _read(log), fetch(schema_url, ROWS)
    _check(found, rows)
    events = [message for message in found if message.subject == OUTBOX_SUBJECT]
    assert [message.identity for message in events] == [identity for _, identity, _ in rows]
    assert events[0].through == rows[0][0]  # a row alone bears its own number
    assert found[-1].through == rows[-1][0]  # and the last mark the last row's
    assert found[-1].subject == "cache.marks.v1.api"


async def test_a_row_refused_in_the_middle_of_a_batch(
    *,
    schema_url: str,
    own: Servers,
    log: JetStreamContext,
    fetch: Any,
    relay_on: Any,
    all_published: Callable[[str], Awaitable[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In place of one that is too large everything is invalidated, and its receipt says why."""
    large = Invalidation(tags=tuple(f"large:{number}" for number in range(300)))
    events = [*_events(20), large, *_events(20)]
    async with relay_on(schema_url, own.nats_url):
        await _append(schema_url, *_events(1))
        await all_published(schema_url)
        # The session has read the limit already: the broker itself refuses, in the middle.
        info = await log.stream_info(STREAM)
        info.config.max_msg_size = 1000
        await log.update_stream(info.config)
        await _append(schema_url, *events, traceparent=TRACEPARENT)
        await all_published(schema_url)
    found, rows = await _read(log), fetch(schema_url, ROWS)
    _check(found, rows)
    assert len(found) == len(rows)  # nothing stands there twice
    refused = rows[21]
    [stand_in] = [message for message in found if message.identity == refused[1]]
    event = decode(stand_in.body)
    assert event.tags == ("*",)
    assert event.reason.startswith(f"event {refused[1]} could not be published: it has ")
    assert stand_in.headers["traceparent"] == TRACEPARENT
    [(identity, dead, stage)] = fetch(
        schema_url, "SELECT event_id, dead, stage FROM receipts WHERE dead <> ''"
    )
    assert identity == refused[1]
    assert dead.endswith("the log accepts at most 1000: raise max_payload")
    assert stage != "dead"
    assert [record for record in caplog.records if refused[1] in record.getMessage()] != []


async def test_a_log_that_is_full_in_the_middle_of_a_batch(
    *,
    schema_url: str,
    own: Servers,
    log: JetStreamContext,
    fetch: Any,
    relay_on: Any,
    all_published: Callable[[str], Awaitable[None]],
) -> None:
    """What the broker took is on record; the others follow in order once it takes more."""
    async with relay_on(schema_url, own.nats_url):
        await _append(schema_url, *_events(1))
        await all_published(schema_url)
        info = await log.stream_info(STREAM)
        kept = info.config.max_msgs, info.config.discard
        info.config.max_msgs, info.config.discard = 8, DiscardPolicy.NEW
        await log.update_stream(info.config)
        await _append(schema_url, *_events(30))

        async def seven_more() -> bool:
            published = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL"
            return bool(fetch(schema_url, published) == [(8,)])

        await eventually(seven_more, timeout_s=20)
        _check(await _read(log), fetch(schema_url, ROWS)[:8])
        info.config.max_msgs, info.config.discard = kept
        await log.update_stream(info.config)
        await all_published(schema_url)
    found, rows = await _read(log), fetch(schema_url, ROWS)
    _check(found, rows)
    assert [message.identity for message in found] == [identity for _, identity, _ in rows]


async def test_nats_killed_in_the_middle_of_thousands(
    *,
    schema_url: str,
    own: Servers,
    log: JetStreamContext,
    fetch: Any,
    relay_on: Any,
    all_published: Callable[[str], Awaitable[None]],
) -> None:
    """After its restart every row is in the log, first seen in order, and the numbers are true."""
    await _append(schema_url, *_events(4000))
    start = (await log.stream_info(STREAM)).state.last_seq

    async def begun() -> bool:
        return bool((await log.stream_info(STREAM)).state.last_seq > start + 300)

    async with relay_on(schema_url, own.nats_url):
        await eventually(begun, timeout_s=20)
        await own.kill("nats")
        [(published,)] = fetch(schema_url, "SELECT count(seq) FROM outbox")
        await own.restart("nats")
        await all_published(schema_url)

    async def connected() -> bool:
        return bool(log._nc.is_connected)

    await eventually(connected, timeout_s=20)
    assert 0 < published < 4000  # it was in the middle
    found, rows = await _read(log), fetch(schema_url, ROWS)
    _check(found, rows)
    first_seen = list(dict.fromkeys(message.identity for message in found))
    assert first_seen == [identity for _, identity, _ in rows]

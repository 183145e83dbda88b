"""What the relay does when it meets another database than the one that the log knows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgi_isr.events import ORIGIN_HEADER, SEQUENCE_HEADER, STREAM, Invalidation, decode
from asgi_isr.logs.nats import NatsLog
from asgi_isr.testing import eventually
from perfcheck_api import outbox
from perfcheck_api.db import connect as connect_to_database
from perfcheck_api.outbox.metrics import RelayMetrics
from perfcheck_api.outbox.relay import Relay
from perfcheck_api.outbox.take_log import take_log
from perfcheck_api.outbox.witness import WITNESS_HEADER
from perfcheck_chassis.secret import Secret
from prometheus_client import CollectorRegistry

WENT_BACK = "perfcheck_database_went_back_total"


async def _append(url: str, *reasons: str) -> list[int]:
    async with connect_to_database(Secret(url), name="test", statement_timeout_s=20) as connection:
        return [
            (await outbox.append(connection, Invalidation(tags=("x",), reason=text))).source_seq
            for text in reasons
        ]


def _is_none(ask: Callable[[], Awaitable[str | None]]) -> Callable[[], Awaitable[bool]]:
    async def answer() -> bool:
        return await ask() is None

    return answer


def _is_text(ask: Callable[[], Awaitable[str | None]]) -> Callable[[], Awaitable[bool]]:
    async def answer() -> bool:
        return bool(await ask())

    return answer


async def _log(js: Any) -> list[Any]:
    """Return what the api published: reason or None for a mark, and headers."""
    state = (await js.stream_info(STREAM)).state
    messages = [await js.get_msg(STREAM, seq) for seq in range(state.first_seq, state.last_seq + 1)]
    return [
        (None if m.subject.startswith("cache.marks.") else decode(m.data), m.headers)
        for m in messages
    ]


def _reasons(log: list[Any]) -> list[str]:
    return [event.reason for event, _ in log if event is not None]


async def test_each_mark_and_the_end_of_each_batch_bear_a_witness(
    *, schema_url: str, running: Any, js: Any, relay_on: Any, all_published: Any
) -> None:
    """Messages in the middle of a batch bear none; all witnesses name one origin."""
    await _append(schema_url, "a", "b", "c")
    async with relay_on(schema_url, running.nats_url):
        await all_published(schema_url)
        marks = NatsLog(running.nats_url, source="test", timeout_s=10)
        await marks.mark()
        await marks.close()
    log = await _log(js)
    assert [WITNESS_HEADER in headers for _, headers in log] == [False, False, True, True]
    assert len({headers[ORIGIN_HEADER] for _, headers in log[2:]}) == 1


async def test_a_relay_that_begins_anew_invalidates_nothing(
    *, schema_url: str, running: Any, js: Any, relay_on: Any, all_published: Any
) -> None:
    """Sessions follow each other on one database, with rows between them or without."""
    for reason in "abc":
        await _append(schema_url, reason)
        async with relay_on(schema_url, running.nats_url):
            await all_published(schema_url)
    assert _reasons(await _log(js)) == ["a", "b", "c"]


async def test_rows_that_are_gone(
    *, schema_url: str, running: Any, js: Any, fetch: Any, relay_on: Any, all_published: Any
) -> None:
    """Everything is invalidated once, before the rows that wait, under a number above all known."""
    [first, _] = await _append(schema_url, "kept", "lost")
    async with relay_on(schema_url, running.nats_url):
        await all_published(schema_url)
    ahead = 2**52  # as if the clock had been far ahead
    fetch(schema_url, f"SELECT setval('outbox_id_seq', {ahead})")
    [very_last] = await _append(schema_url, "lost too")
    async with relay_on(schema_url, running.nats_url):
        await all_published(schema_url)
    fetch(schema_url, "DELETE FROM outbox WHERE id > (SELECT min(id) FROM outbox)")
    fetch(schema_url, "SELECT setval('outbox_id_seq', 9)")
    [new] = await _append(schema_url, "new")
    assert first < new < very_last
    for _ in range(2):
        async with relay_on(schema_url, running.nats_url):
            await all_published(schema_url)
    log = await _log(js)
    everything = "the database went back: it lacks row"
    assert [reason[: len(everything)] for reason in _reasons(log)] == [
        "kept", "lost", "lost too", everything, "new",
    ]  # fmt: skip
    event, headers = log[-2]
    assert (event.tags, event.mode) == (("*",), "hard")
    assert int(headers[SEQUENCE_HEADER]) == new - 1
    [(number,)] = fetch(schema_url, "SELECT max(id) FROM outbox WHERE published_at IS NOT NULL")
    assert number > very_last


async def test_a_table_that_is_restored_under_a_session(
    *, schema_url: str, running: Any, js: Any, fetch: Any, relay_on: Any
) -> None:
    """The session ends by itself, and the next one invalidates everything."""
    await _append(schema_url, "a")
    async with relay_on(schema_url, running.nats_url):

        async def reasons() -> list[str]:
            return _reasons(await _log(js))

        async def told(count: int) -> bool:
            return len(await reasons()) == count

        await eventually(lambda: told(1), timeout_s=20)
        fetch(
            schema_url,
            "CREATE TABLE old AS SELECT * FROM outbox; TRUNCATE outbox, receipts;"
            " INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM old",
        )
        await eventually(lambda: told(2), timeout_s=20)
        assert "its outbox is another table" in (await reasons())[1]


async def test_two_databases_at_once(
    *,
    schema_url: str,
    copy_url: str,
    running: Any,
    js: Any,
    all_published: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The one that comes takes the log; the other stops, says so, and stays stopped."""
    caplog.set_level(logging.WARNING)
    registries = [CollectorRegistry(), CollectorRegistry()]
    old, new = (
        Relay(Secret(url), running.nats_url, name=name, metrics=RelayMetrics(registry))
        for url, name, registry in zip(
            (schema_url, copy_url), ("old", "new"), registries, strict=True
        )
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(old.run())]
        await _append(schema_url, "old")
        await all_published(schema_url)
        tasks.append(group.create_task(new.run()))
        await _append(copy_url, "new")
        await all_published(copy_url)
        await _append(schema_url, "in vain")

        async def superseded() -> bool:
            return await old.superseded_reason() is not None

        await eventually(superseded, timeout_s=20)
        await _append(copy_url, "new again")
        await all_published(copy_url)
        assert await new.superseded_reason() is None
        assert await new.unhealthy_reason() is None
        assert "take-log" in (await old.unhealthy_reason() or "")
        reasons = _reasons(await _log(js))
        assert await take_log(
            Secret(schema_url), running.nats_url, metrics=RelayMetrics(CollectorRegistry())
        )
        await eventually(_is_none(old.superseded_reason), timeout_s=20)
        await all_published(schema_url)
        await eventually(_is_text(new.superseded_reason), timeout_s=20)
        for task in tasks:
            task.cancel()
    [_, first, *others] = reasons
    assert "another database" in first
    assert others == ["new", "new again"]
    assert [reason[:31] for reason in _reasons(await _log(js))[4:]] == [
        "the database went back: by hand", "in vain",
    ]  # fmt: skip
    assert [registry.get_sample_value(WENT_BACK) for registry in registries] == [0, 1]
    gauges = [registry.get_sample_value("perfcheck_relay_superseded") for registry in registries]
    assert gauges == [0, 1]

"""Receipts: written with the event, put together from parts, listed, pruned."""

import random
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import psycopg
import pytest
from asgi_isr.events import Invalidation
from asgi_isr.testing import eventually
from nats.js import JetStreamContext
from nats.js.errors import NoStreamResponseError, NotFoundError
from perfcheck_api import outbox
from perfcheck_api.db import Database, connect
from perfcheck_api.invalidations.repository import prune_keys
from perfcheck_api.receipts import repository
from perfcheck_api.receipts.model import Part, ReceiptFilter, json_of, rounds
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import (
    RECEIPTS_BYTES_MAX,
    RECEIPTS_MAX,
    RECEIPTS_STREAM,
    RECEIPTS_SUBJECT,
    Applied,
    CdnPurge,
    Receipt,
    ReceiptBatch,
    Warmed,
)

NOON = datetime(2026, 10, 30, 12, tzinfo=UTC)

_of_shop = partial(Receipt, id="e1", source="shop")
PARTS = [
    _of_shop(tags=["X"], paths=["/a"], mode="soft", reason="why", seq=7),
    _of_shop(stage="published", published_at=NOON),
    _of_shop(stage="applied", applied=Applied(instances=2, min_ms=1.0, missing=["late"])),
    _of_shop(stage="applied", applied=Applied(instances=3, min_ms=1.0, max_ms=9.5)),
    _of_shop(cdn=[CdnPurge(provider="varnish", submitted_at=NOON, reference="r")]),
    _of_shop(cdn=[CdnPurge(provider="varnish", status="completed", completed_at=NOON)]),
    _of_shop(cdn=[CdnPurge(provider="varnish", again=True, status="refused", detail="d")]),
    _of_shop(stage="done", warmed=Warmed(pages=3, failed=1, left=0, ms=12.5)),
]
WHOLE = Receipt(
    id="e1",
    source="shop",
    stage="done",
    tags=["x"],
    paths=["/a"],
    mode="soft",
    reason="why",
    seq=7,
    published_at=NOON,
    applied=Applied(instances=3, min_ms=1.0, max_ms=9.5),
    warmed=Warmed(pages=3, failed=1, left=0, ms=12.5),
    cdn=[
        CdnPurge(
            provider="varnish",
            status="completed",
            submitted_at=NOON,
            completed_at=NOON,
            reference="r",
        ),
        CdnPurge(provider="varnish", again=True, status="refused", detail="d"),
    ],
)


@pytest.fixture
async def reading(schema_url: str, open_client: Any, no_nats_url: str) -> AsyncIterator[Any]:
    """Give an app on an empty database that takes nothing in."""
    async with open_client(schema_url, nats_url=no_nats_url) as client:
        yield client


async def _merge(url: str, *receipts: Receipt | Part) -> None:
    """Merge what the broker took at noon, unless it is told."""
    parts = [part if isinstance(part, Part) else Part(part, NOON) for part in receipts]
    async with connect(Secret(url), name="test", statement_timeout_s=10) as connection:
        for once in rounds(parts):
            await repository.merge(connection, json_of(once))


async def _execute(url: str, sql: str) -> None:
    async with connect(Secret(url), name="test", statement_timeout_s=10) as connection:
        await connection.execute(sql.encode())


async def _receipt(client: Any, event_id: str) -> Receipt:
    answer = await client.get(f"/invalidations/{event_id}")
    assert answer.status == 200, answer
    return msgspec.json.decode(answer.body, type=Receipt)


async def test_a_receipt_is_committed_with_its_event(reading: Any) -> None:
    """Right after the 202 there is one that says what was asked, and when it was committed."""
    document = {"tags": ["x"], "paths": ["/a/*"], "mode": "soft", "reason": "because"}
    answer = await reading.post("/invalidations", document)
    found = await _receipt(reading, answer.json()["id"])
    assert (found.source, found.stage) == ("api", "committed")
    assert (found.tags, found.paths, found.mode, found.reason) == (
        ["x"], ["/a/*"], "soft", "because",
    )  # fmt: skip
    assert found.committed_at is not None
    assert found.seq is None
    write = await reading.put("/days/2020-05-04", {"rates": {"USD": 1.1}})
    assert "currency:usd" in (await _receipt(reading, write.json()["event_id"])).tags


async def test_a_rolled_back_event_has_no_receipt(schema_url: str, fetch: Any) -> None:
    """The receipt is of the same transaction."""
    async with connect(Secret(schema_url), name="test", statement_timeout_s=10) as connection:
        await connection.execute("BEGIN")
        await outbox.append(connection, Invalidation(tags=("x",)))
        await connection.execute("ROLLBACK")
    assert fetch(schema_url, "SELECT * FROM receipts") == []


async def test_a_reason_with_nul_does_no_harm(reading: Any) -> None:
    """PostgreSQL cannot hold NUL in JSON: the receipt shows a replacement, the event keeps it."""
    answer = await reading.post("/invalidations", {"tags": ["x"], "reason": "a\0b"})
    assert answer.status == 202
    assert (await _receipt(reading, answer.json()["id"])).reason == "a\ufffdb"


async def test_parts_are_put_together_in_any_order(reading: Any, schema_url: str) -> None:
    """Forwards, backwards and twice, in one batch or many, they make the same receipt."""
    await _merge(schema_url, *PARTS)
    assert await _receipt(reading, "e1") == WHOLE
    await _merge(schema_url, *PARTS)
    assert await _receipt(reading, "e1") == WHOLE
    for part in reversed(PARTS):
        await _merge(schema_url, part)
    assert await _receipt(reading, "e1") == WHOLE
    backwards = [msgspec.structs.replace(part, id="e2") for part in reversed(PARTS)]
    await _merge(schema_url, *backwards)
    assert await _receipt(reading, "e2") == msgspec.structs.replace(WHOLE, id="e2")


def _purge(status: Any, *, again: bool = False, second: int, **members: Any) -> CdnPurge:
    return CdnPurge(
        provider="varnish", again=again, status=status, submitted_at=_after(second), **members
    )


def _after(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


def _told(second: int, stage: Any, **members: Any) -> Part:
    """Return a part as a revalidator tells it, taken by the broker so many seconds after noon."""
    common: dict[str, Any] = {"id": "e", "source": "shop", "seq": 7, "published_at": NOON}
    return Part(Receipt(stage=stage, **(common | members)), _after(second))


NAMES: dict[str, Any] = {"tags": ["x"], "reason": "why", "committed_at": NOON}
# The whole life of an event whose first purge failed, which was retried, and whose second purge
# was refused.
LIFE = [
    _told(1, "applied", **NAMES, applied=Applied(instances=2, max_ms=3.0, missing=["c"])),
    _told(2, "applied", warmed=Warmed(pages=4, failed=1, left=2, ms=90.0)),
    _told(3, "dead", committed_at=NOON, dead="varnish answered 500",
          cdn=[_purge("refused", second=3, detail="500")]),
    _told(4, "applied", **NAMES, applied=Applied(instances=3, max_ms=4000.0)),
    _told(5, "applied", warmed=Warmed(pages=1, failed=0, left=0, ms=9.0)),
    _told(6, "done", retried=True,
          cdn=[_purge("completed", second=6, completed_at=_after(6))]),
    _told(7, "applied", cdn=[_purge("completed", again=True, second=7, completed_at=_after(7))]),
]  # fmt: skip


async def test_a_life_in_any_order_makes_the_same_receipt(reading: Any, schema_url: str) -> None:
    """A retried dead letter is done, whatever comes late, twice, or before the rest."""
    order = random.Random(5)
    expected = Receipt(
        id="e", source="shop", stage="done", tags=["x"], reason="why", seq=7, committed_at=NOON,
        published_at=NOON, applied=Applied(instances=3, max_ms=4000.0),
        warmed=Warmed(pages=4, failed=1, left=2, ms=90.0),
        cdn=[
            _purge("completed", second=6, completed_at=_after(6), detail="500"),
            _purge("completed", again=True, second=7, completed_at=_after(7)),
        ],
    )  # fmt: skip
    for number in range(100):
        parts = order.sample(LIFE, len(LIFE)) if number else LIFE
        renamed = [
            Part(msgspec.structs.replace(part.receipt, id=f"e{number}"), part.at)
            for part in [*parts, *order.choices(parts, k=3)]
        ]
        cut = order.randrange(len(renamed))
        await _merge(schema_url, *renamed[:cut])
        await _merge(schema_url, *renamed[cut:])
        found = await _receipt(reading, f"e{number}")
        assert found == msgspec.structs.replace(expected, id=f"e{number}"), parts


async def test_dead_is_dead_until_it_was_retried(reading: Any, schema_url: str) -> None:
    """A second purge that fails makes a dead letter, also of what is done later, until a retry."""
    done, dead = _told(1, "done"), _told(2, "dead", dead="second purge: refused")
    late = _told(3, "done")
    for parts in ([done, dead], [dead, done], [dead, late], [dead, done, _told(3, "applied")]):
        await _merge(schema_url, *parts)
        found = await _receipt(reading, "e")
        assert (found.stage, found.dead) == ("dead", "second purge: refused")
    await _merge(schema_url, _told(4, "done", retried=True), dead)
    found = await _receipt(reading, "e")
    assert (found.stage, found.dead) == ("done", "")


async def test_another_source_writes_nothing_into_a_receipt(
    reading: Any, schema_url: str, fetch: Any
) -> None:
    """A publisher that takes the id of another's event changes, completes and hides nothing."""
    answer = await reading.post("/invalidations", {"tags": ["x"]})
    event_id = answer.json()["id"]
    before = await _receipt(reading, event_id)
    forged = _told(9, "dead", id=event_id, dead="forged", tags=["y"])
    await _merge(schema_url, forged)
    assert await _receipt(reading, event_id) == before
    assert await _receipt(reading, f"{event_id}?source=api") == before
    told = await _receipt(reading, f"{event_id}?source=shop")
    assert (told.id, told.source, told.dead) == (event_id, "shop", "forged")
    # What is true of the event of this service is told of it all the same, and of it alone.
    ours = partial(_told, 2, id=event_id, source="api")
    await _merge(schema_url, ours("applied", applied=Applied(instances=1)))
    assert (await _receipt(reading, event_id)).stage == "applied"
    assert await _receipt(reading, f"{event_id}?source=shop") == told
    assert (await _ids(reading, "stage=dead"))[0] == [event_id]
    assert (await _ids(reading, "source=api"))[0] == [event_id]
    assert fetch(schema_url, "SELECT count(*) FROM receipts") == [(2,)]


@pytest.mark.parametrize("first", ["shop", "cli"])
async def test_sources_that_use_one_id_have_a_receipt_each(
    reading: Any, schema_url: str, first: str
) -> None:
    """In either order, in one batch or two; without a source the first by name is given."""
    other = "cli" if first == "shop" else "shop"
    one, two = (
        _told(second, "applied", source=source) for second, source in ((1, first), (2, other))
    )
    await _merge(schema_url, one, two)
    await _merge(schema_url, _told(3, "dead", source=first, dead="why"))
    for source, stage in ((first, "dead"), (other, "applied")):
        found = await _receipt(reading, f"e?source={source}")
        assert (found.id, found.source, found.stage) == ("e", source, stage)
    assert (await _receipt(reading, "e")).source == "cli"
    for query in ("e?source=api", "e%20cli", "e%20shop", "e?source=cli%00"):
        assert (await reading.get(f"/invalidations/{query}")).status == 404
    page, cursor = await _ids(reading, "limit=1")
    assert (page, (await _ids(reading, f"limit=1&cursor={cursor}"))[0]) == (["e"], ["e"])


async def test_a_receipt_of_the_release_before_goes_on(
    reading: Any, schema_url: str, fetch: Any
) -> None:
    """Its key is the plain id, whoever published; later parts of that source still find it."""
    fetch(
        schema_url,
        "INSERT INTO receipts (event_id, source, stage) VALUES ('e', 'shop', 'applied')"
        " ON CONFLICT (event_id) DO NOTHING",
    )
    await _merge(schema_url, _told(1, "done"), _told(2, "done", source="cli"))
    assert (await _receipt(reading, "e?source=shop")).stage == "done"
    keys = fetch(schema_url, "SELECT event_id, source FROM receipts ORDER BY event_id")
    assert keys == [("e", "shop"), ("e cli", "cli")]


async def test_an_unknown_receipt_is_not_found(reading: Any) -> None:
    """404 with the reason, also for what can be no id."""
    for identity in ("nothing", "a%00b", "x" * 3000):
        answer = await reading.get(f"/invalidations/{identity}")
        assert (answer.status, answer.json()["type"]) == (404, "unknown-invalidation")
        assert answer.headers["cache-control"] == "no-store"


async def _ids(client: Any, query: str) -> tuple[list[str], str | None]:
    answer = await client.get(f"/invalidations?{query}")
    assert answer.status == 200, answer
    return [item["id"] for item in answer.json()["receipts"]], answer.json()["next"]


async def _fill(url: str, count: int) -> None:
    receipts = [
        Receipt(
            id=f"e{number:04}",
            source="shop" if number % 3 == 0 else "api",
            stage="dead" if number % 50 == 0 else "applied",
            tags=["all", f"tag:{number % 7}"],
        )
        for number in range(count)
    ]
    await _merge(url, *receipts)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE receipts SET at = timestamptz '2026-10-30 12:00Z'"
            " + interval '1 second' * (substr(event_id, 2, 4)::integer / 2)"
        )


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("", lambda _: True),
        ("source=shop", lambda n: n % 3 == 0),
        ("stage=dead", lambda n: n % 50 == 0),
        ("stage=dead&source=shop", lambda n: n % 150 == 0),
        ("stage=done", lambda _: False),
        ("tag=TAG:3", lambda n: n % 7 == 3),
        ("since=2026-10-30T12:01:00Z", lambda n: n // 2 >= 60),
        ("until=2026-10-30T12:01:00Z", lambda n: n // 2 < 60),
        ("since=2026-10-30T12:01:00&until=2026-10-30T14:02:00%2B02:00&tag=all&source=api",
         lambda n: 60 <= n // 2 < 120 and n % 3),
    ],
)  # fmt: skip
async def test_a_list_gives_each_receipt_once(
    reading: Any, schema_url: str, query: str, fits: Any
) -> None:
    """Page after page, newest first, exactly what fits, also where many have the same time."""
    await _fill(schema_url, 400)
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        after = f"&cursor={cursor}" if cursor else ""
        page, cursor = await _ids(reading, f"{query}&limit=7{after}")
        assert len(page) <= 7
        found += page
    assert found == [f"e{number:04}" for number in reversed(range(400)) if fits(number)]


async def test_a_walk_is_bounded(schema_url: str) -> None:
    """Where little fits, a page ends early and says from where to go on."""
    await _fill(schema_url, 400)
    wanted = ReceiptFilter(tag="tag:3", limit=200)
    found: list[str] = []
    pages = 0
    database = Database(
        Secret(schema_url), pool_size_min=1, pool_size_max=1, pool_timeout_s=5,
        statement_timeout_s=5,
    )  # fmt: skip
    async with database.opened():
        while True:
            page, after = await repository.receipts(database, wanted, walked_max=100)
            found += [receipt.id for receipt in page]
            pages += 1
            if after is None:
                break
            wanted = wanted._replace(after=after)
    assert pages == 5  # four walks of 100, and one that finds the end
    assert found == [f"e{number:04}" for number in reversed(range(400)) if number % 7 == 3]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("limit=0", ["limit"]),
        ("limit=201", ["limit"]),
        ("limit=x", ["limit"]),
        ("stage=over", ["stage"]),
        ("since=yesterday", ["since"]),
        ("until=2026-13-01", ["until"]),
        ("since=2026-10-30&until=2026-10-29", ["since"]),
        ("cursor=abc", ["cursor"]),
        ("cursor=bnVsbA", ["cursor"]),
        ("tag=%00", ["tag"]),
        ("stage=x&limit=-1", ["stage", "limit"]),
    ],
)
async def test_a_bad_list_is_refused(reading: Any, query: str, fields: list[str]) -> None:
    """400 that names every bad parameter."""
    answer = await reading.get(f"/invalidations?{query}")
    assert answer.status == 400
    assert [error["field"] for error in answer.json()["errors"]] == fields


@pytest.fixture
async def receipts_stream(js: JetStreamContext) -> AsyncIterator[JetStreamContext]:
    """Give JetStream without a stream of receipts of an earlier test."""
    with suppress(NotFoundError):
        await js.delete_stream(RECEIPTS_STREAM)
    yield js
    await js.delete_stream(RECEIPTS_STREAM)


def _batch(*receipts: Receipt) -> bytes:
    return msgspec.json.encode(ReceiptBatch(receipts=list(receipts)))


async def _publish(js: JetStreamContext, body: bytes) -> None:
    # The app creates the stream.
    await eventually(
        partial(js.publish, RECEIPTS_SUBJECT, body, stream=RECEIPTS_STREAM),
        timeout_s=10,
        ignoring=(NoStreamResponseError,),
    )


async def _left(js: JetStreamContext) -> int:
    count: int = (await js.stream_info(RECEIPTS_STREAM)).state.messages
    return count


async def test_batches_are_taken_in(
    receipts_stream: JetStreamContext, schema_url: str, open_client: Any
) -> None:
    """What revalidators publish is merged and leaves the stream; bad ones harm no others."""
    js = receipts_stream
    async with open_client(schema_url) as client:

        async def ready() -> bool:
            health = (await client.send("GET", "/health")).json()
            return bool(health["checks"]["receipts"]["detail"] == "")

        await eventually(ready, timeout_s=20)
        await _publish(js, b"{")
        await _publish(js, _batch(Receipt(id="large")) + b" " * RECEIPTS_BYTES_MAX)
        await _publish(js, _batch(*(Receipt(id=f"many-{n}") for n in range(RECEIPTS_MAX + 1))))
        await _publish(js, _batch(*PARTS, Receipt(id="big", seq=2**70), Receipt(id="")))
        await _publish(js, _batch(Receipt(id="a b", source="c"), Receipt(id="a", source="d")))
        await _publish(js, _batch(Receipt(id="nul", source="a", reason="\0", tags=["\0"])))

        async def taken_in() -> bool:
            return await _left(js) == 0

        await eventually(taken_in, timeout_s=20)
        assert await _receipt(client, "e1") == WHOLE
        assert (await _receipt(client, "nul")).reason == "\ufffd"
        for dropped in ("big", "large", "many-0"):
            assert (await client.get(f"/invalidations/{dropped}")).status == 404


async def test_a_stream_of_another_configuration_is_refused(
    receipts_stream: JetStreamContext, schema_url: str, open_client: Any
) -> None:
    """The health page names each field that would lose receipts, or lead them elsewhere."""
    await receipts_stream.add_stream(
        name=RECEIPTS_STREAM, subjects=[RECEIPTS_SUBJECT, "others"], retention="limits"
    )
    async with open_client(schema_url) as client:

        async def refused() -> bool:
            health = (await client.send("GET", "/health")).json()
            detail = health["checks"]["receipts"]["detail"]
            return all(text in detail for text in (RECEIPTS_STREAM, "subjects is", "retention is"))

        await eventually(refused, timeout_s=20)


async def test_batches_wait_while_postgres_is_away(
    receipts_stream: JetStreamContext, schema_url: str, open_client: Any
) -> None:
    """A batch whose merge failed stays in the stream, and is merged when that is possible again."""
    js = receipts_stream
    async with open_client(schema_url) as client:
        await _publish(js, _batch(Receipt(id="first")))

        async def first() -> bool:
            answer = await client.get("/invalidations/first")
            return bool(answer.status == 200)

        await eventually(first, timeout_s=20)
        # Not by `fetch`: it would keep the app from ending what holds a lock on the table.
        await _execute(schema_url, "ALTER TABLE receipts RENAME TO away")
        await _publish(js, _batch(*PARTS))

        async def unhealthy() -> bool:
            health = (await client.send("GET", "/health")).json()
            return "not storing receipts" in health["checks"]["receipts"]["detail"]

        await eventually(unhealthy, timeout_s=20)
        assert await _left(js) == 1
        await _execute(schema_url, "ALTER TABLE away RENAME TO receipts")

        async def taken_in() -> bool:
            return await _left(js) == 0

        await eventually(taken_in, timeout_s=60)
        assert await _receipt(client, "e1") == WHOLE


async def test_old_receipts_and_keys_are_pruned(schema_url: str, fetch: Any) -> None:
    """By age and by number, in bounded batches, by one at a time."""
    await _fill(schema_url, 100)
    fetch(
        schema_url,
        "UPDATE receipts SET at = now() - interval '1 s' * (100 - substr(event_id, 2, 4)::integer)",
    )
    fetch(
        schema_url,
        "INSERT INTO idempotency_keys SELECT 'c', n, '', n, gen_random_uuid(),"
        " now() - interval '1 h' * n FROM generate_series(1, 30) AS n",
    )
    keys = partial(prune_keys, lifetime_s=86_400.0, rows_max=10)
    bounds: dict[str, Any] = {"prune_lock": 1, "prune_keys": keys}
    async with (
        connect(Secret(schema_url), name="a", statement_timeout_s=10) as one,
        connect(Secret(schema_url), name="b", statement_timeout_s=10) as two,
    ):
        async with two.transaction():
            await two.execute("SELECT pg_advisory_xact_lock(1)")
            assert await repository.prune(one, age_s=0, rows_kept=0, rows_max=10, **bounds) == 0
        assert await repository.prune(one, age_s=50, rows_kept=1000, rows_max=10, **bounds) == 10
        assert fetch(schema_url, "SELECT count(*) FROM idempotency_keys") == [(23,)]
        while await repository.prune(one, age_s=50, rows_kept=1000, rows_max=10, **bounds):
            pass
        assert fetch(schema_url, "SELECT min(event_id) > 'e0050' FROM receipts") == [(True,)]
        while await repository.prune(one, age_s=9e9, rows_kept=5, rows_max=10, **bounds):
            pass
    left = fetch(schema_url, "SELECT substr(min(event_id), 1, 5), count(*) FROM receipts")
    assert left == [("e0095", 5)]


def test_rounds_have_each_id_once() -> None:
    """Parts of one receipt come one after the other, in their order; a source's with the others."""
    receipts = (
        Receipt(id="a", seq=1), Receipt(id="a", seq=2), Receipt(id="b"), Receipt(id="a", source="x")
    )  # fmt: skip
    first, second, other, foreign = (Part(receipt, NOON) for receipt in receipts)
    assert rounds([first, other, second, foreign]) == [[first, other, foreign], [second]]
    assert rounds([]) == []

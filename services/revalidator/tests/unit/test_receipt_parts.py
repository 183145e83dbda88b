from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from asgi_isr import Invalidation
from asgi_isr.coherence import Progress
from asgi_isr.testing import FakeClock
from perfcheck_contracts import Receipt, ReceiptBatch
from perfcheck_revalidator.work.original import Event, Original, committed_at, event_id
from perfcheck_revalidator.work.receipts import (
    WallTimes,
    applied_report,
    batches,
    dead_receipt,
    event_receipt,
)

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def original(**fields: Any) -> Original:
    """Return a message of the api."""
    base = Original(7, "cache.invalidations.v1.api", {}, b'{"tags":["a"]}', AT)
    return base._replace(**fields)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ce-id": "a-1", "Nats-Msg-Id": "b"}, "a-1"),
        ({"Ce-Id": "a-1"}, "a-1"),
        ({"Nats-Msg-Id": "b"}, "b"),
        ({}, "seq-7"),
        ({"ce-id": ""}, "seq-7"),
        ({"ce-id": "x" * 129}, "seq-7"),
        ({"ce-id": "x" * 128}, "x" * 128),
        ({"ce-id": "a/b"}, "seq-7"),
        ({"ce-id": "a b", "nats-msg-id": "c"}, "c"),
        ({"ce-id": "ä"}, "seq-7"),
        ({"ce-id": "a\n"}, "seq-7"),
    ],
)
def test_event_ids(headers: dict[str, str], expected: str) -> None:
    """An id that can stand in an address is taken, else the sequence makes one."""
    assert event_id(7, headers) == expected


@pytest.mark.parametrize(
    ("subject", "time", "expected"),
    [
        ("cache.invalidations.v1.api", "2026-11-24T12:00:00+00:00", AT),
        ("cache.invalidations.v1.api", "2026-11-24T12:00:00", AT),
        ("cache.invalidations.v1.api", "yesterday", None),
        ("cache.invalidations.v1.shop", "2026-11-24T12:00:00+00:00", None),
    ],
)
def test_commit_times(subject: str, time: str, expected: datetime | None) -> None:
    """Only an outbox says when a change was committed."""
    assert committed_at(original(subject=subject, headers={"ce-time": time})) == expected


def test_applied_times_are_put_on_the_wall_clock() -> None:
    """Minimum, median and maximum are milliseconds from publication; each instance is named."""
    clock = FakeClock()
    walls = WallTimes(clock)
    published_s = clock.wall()
    now = clock.monotonic()
    times = {"a": now + 0.001, "b": now + 0.002, "c": now + 0.009}
    report = applied_report(Progress(times, ("d",), ("e",), everywhere=False), published_s, walls)
    assert report.instances == 3
    assert report.min_ms == pytest.approx(1, abs=0.01)
    assert report.p50_ms == pytest.approx(2, abs=0.01)
    assert report.max_ms == pytest.approx(9, abs=0.01)
    assert (report.missing, report.vanished) == (["d"], ["e"])
    assert set(report.each or ()) == {"a", "b", "c"}


def test_two_instances_have_the_faster_ones_time_as_median() -> None:
    """The api and the revalidator say the same of two instances: the nearest rank."""
    clock = FakeClock()
    now = clock.monotonic()
    times = {"b": now + 0.030, "a": now + 0.010}
    report = applied_report(
        Progress(times, (), (), everywhere=True), clock.wall(), WallTimes(clock)
    )
    assert report.p50_ms == report.min_ms == pytest.approx(10, abs=0.01)
    assert report.max_ms == pytest.approx(30, abs=0.01)


def test_many_instances_are_not_named() -> None:
    """Of more than 32 instances only the distribution is told, and of none nothing."""
    clock = FakeClock()
    times = {str(number): clock.monotonic() for number in range(33)}
    many = Progress(times, (), (), everywhere=True)
    assert applied_report(many, clock.wall(), WallTimes(clock)).each is None
    nobody = Progress({}, (), (), everywhere=True)
    assert applied_report(nobody, clock.wall(), WallTimes(clock)).min_ms is None


def test_text_that_no_database_holds_is_made_plain() -> None:
    """NUL and half surrogate pairs of a publisher do not keep its receipt from being stored."""
    nobody = applied_report(Progress({}, (), (), everywhere=True), 0, WallTimes(FakeClock()))
    event = Event(original(), Invalidation(tags=("a\0b",), reason="\ud800x"))
    receipt = event_receipt(event, nobody, "done")
    assert receipt.tags == ["ab"]
    assert receipt.reason == "?x"
    assert dead_receipt(original(), "no\0").dead == "no"


def test_batches_are_bounded_in_receipts_and_bytes() -> None:
    """No message has more than 256 receipts or half a megabyte, and none is left out."""
    small = [Receipt(id=str(number)) for number in range(600)]
    large = [Receipt(id=f"l{number}", tags=["x" * 250] * 400) for number in range(20)]
    huge = [Receipt(id="h", tags=["y" * 1000] * 1000)]
    bodies = list(batches([*small, *large, *huge]))
    decoded = [msgspec.json.decode(body, type=ReceiptBatch).receipts for body in bodies]
    assert max(map(len, bodies)) < 700_000
    assert max(map(len, decoded)) <= 256
    assert [receipt.id for part in decoded for receipt in part] == [
        receipt.id for receipt in (*small, *large, *huge)
    ]
    assert len(decoded[-1][-1].tags) == 100

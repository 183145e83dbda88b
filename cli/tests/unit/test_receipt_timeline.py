"""How receipts are shown: the text as a whole, so that a change of it is seen."""

import datetime as dt

import click
from perfcheck.events.invalidate import not_applied_reason, told
from perfcheck.events.timeline import propagation_ms, table, timeline
from perfcheck_contracts import Applied, CdnPurge, Receipt, Warmed

AT = dt.datetime(2026, 11, 24, 21, 0, 0, 123_000, tzinfo=dt.UTC)
APPLIED = Applied(
    instances=3, min_ms=2.1, p50_ms=3.0, max_ms=4.0, each={"b-2": 3.0, "b-1": 2.1, "b-3": 4.0}
)
FULL = Receipt(
    id="0192-a",
    source="api",
    stage="done",
    tags=["currency:usd", "day:2026-10-30"],
    paths=["/pairs/*"],
    reason="rates written",
    seq=1764,
    committed_at=AT,
    published_at=AT + dt.timedelta(milliseconds=1.2),
    applied=APPLIED,
    warmed=Warmed(pages=12, failed=1, left=2, ms=80.4),
    cdn=[
        CdnPurge(
            provider="cloudfront",
            status="completed",
            reference="I2J",
            submitted_at=AT + dt.timedelta(milliseconds=30),
            completed_at=AT + dt.timedelta(seconds=12.3),
        ),
        CdnPurge(provider="cloudfront", again=True, status="refused", detail="price cap"),
    ],
)


def test_the_whole_life_of_an_event() -> None:
    """Each thing that happened is a line; times are since the commit."""
    assert click.unstyle(timeline(FULL)) == (
        "id         0192-a\n"
        "stage      done\n"
        "source     api\n"
        "hard       currency:usd, day:2026-10-30, /pairs/*\n"
        "reason     rates written\n"
        "committed  2026-11-24 21:00:00.123Z\n"
        "published  +1.2 ms  seq 1764 in the log\n"
        "applied    3/3 tasks, min 2.1, p50 3.0, max 4.0 ms after publication\n"
        "           b-1 +2.1 ms\n"
        "           b-2 +3.0 ms\n"
        "           b-3 +4.0 ms\n"
        "re-warmed  12 pages in 80 ms, 1 failed, 2 skipped\n"
        "cdn        cloudfront submitted +30.0 ms completed +12.3 s (I2J)\n"
        "cdn again  cloudfront refused: price cap"
    )


def test_a_dead_event_of_another_publisher() -> None:
    """Without a commit the publication is a moment; what others wrote cannot colour a terminal."""
    dead = Receipt(
        id="seq-9", source="shop", stage="dead", published_at=AT, dead="body: \x1b[31mno JSON"
    )
    assert click.unstyle(timeline(dead)) == (
        "id         seq-9\n"
        "stage      dead\n"
        "source     shop\n"
        "hard       -\n"
        "published  2026-11-24 21:00:00.123Z\n"
        "dead       body:  [31mno JSON"
    )


def test_the_table_of_the_newest() -> None:
    """One line each; what is not known is a dash."""
    lines = click.unstyle(table([FULL, Receipt(id="x", tags=["a"])])).splitlines()
    assert lines == [
        "time          stage      published  applied  tasks  names            source  id",
        "21:00:00.123  done       +1.2 ms    4.0 ms   3/3    currency:usd +2  api     0192-a",
        "-             committed  -          -        -      a                -       x",
    ]


def test_propagation_is_from_the_commit_to_the_last_task() -> None:
    """Commit to publication, and from there to the slowest; unknown while a part is."""
    assert propagation_ms(FULL) == 5.2
    assert propagation_ms(Receipt(id="x", committed_at=AT, published_at=AT)) is None
    assert propagation_ms(Receipt(id="x", published_at=AT, applied=APPLIED)) is None


def test_a_wait_tells_each_task_the_fastest_first() -> None:
    """Milliseconds by task, and nothing to complain about."""
    assert told(APPLIED) == "3/3 tasks fresh in 4 ms (b-1 2, b-2 3, b-3 4)"
    assert not_applied_reason(APPLIED, 5.0) is None


def test_missing_tasks_fail_and_vanished_ones_are_named() -> None:
    """A task whose lease has ended serves nothing as fresh; one that is silent may."""
    gone = Applied(instances=1, max_ms=9.0, each={"b-1": 9.0}, vanished=["b-2"])
    assert told(gone) == "1/1 tasks fresh in 9 ms (b-1 9), vanished: b-2"
    assert not_applied_reason(gone, 5.0) is None
    late = Applied(instances=2, max_ms=9.0, each={"b-1": 9.0}, missing=["b-2"])
    assert told(late) == "1/2 tasks fresh in 9 ms (b-1 9), missing: b-2"
    assert (
        not_applied_reason(late, 5.0) == "not applied everywhere after 5 s: b-2 did not report it"
    )
    unsure = Applied(instances=1, max_ms=9.0, each={"b-1": 9.0}, unknown="the log is away")
    assert (
        not_applied_reason(unsure, 5.0)
        == "the api may not know of every task, others may still be stale: the log is away"
    )

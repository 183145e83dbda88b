"""What `MemoryLog` promises beyond the contract of every log: retention, and losses on command."""

import asyncio
from contextlib import aclosing

import pytest
from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import decode
from asgi_isr.logs.memory import BATCH_MAX, MemoryLog
from asgi_isr.ports import Bounds


async def take(log: MemoryLog, after: int, count: int) -> list[int]:
    """Read `count` sequences above `after`."""
    found: list[int] = []
    async with aclosing(log.read(after)) as batches:
        async for batch in batches:
            found += [message.seq for message in batch]
            if len(found) >= count:
                break
    return found


async def test_empty_log_ends_before_it_begins() -> None:
    """A new log has `last == first - 1`, and its first event gets `first_seq`."""
    log = MemoryLog(first_seq=500)
    assert await log.bounds() == Bounds(500, 499)
    assert log.publish(b"x") == 500


async def test_oldest_events_go_over_the_limit() -> None:
    """Over `messages_max` the oldest event is dropped and `first` moves on."""
    log = MemoryLog(messages_max=3)
    for _ in range(5):
        log.publish(b"x")
    assert await log.bounds() == Bounds(3, 5)
    assert await log.stamp(2) is None
    assert await take(log, 0, 3) == [3, 4, 5]


async def test_batches_are_bounded() -> None:
    """A long backlog comes in batches of at most `BATCH_MAX`, without a gap."""
    log = MemoryLog()
    for _ in range(BATCH_MAX + 1):
        log.publish(b"x")
    async with aclosing(log.read(0)) as batches:
        assert len(await anext(batches)) == BATCH_MAX
        assert [message.seq for message in await anext(batches)] == [BATCH_MAX + 1]


async def test_mark_is_an_event_without_names() -> None:
    """A mark stands at the end of the log, names nothing but its id, and has that alone."""
    log = MemoryLog()
    log.publish(b"x")
    marks = [await log.mark(), await log.mark()]
    assert [mark.seq for mark in marks] == [2, 3]
    async with aclosing(log.read(1)) as batches:
        events = [decode(message.body) for message in await anext(batches)]
    assert [event.mark for event in events] == [mark.id for mark in marks]
    assert marks[0].id != marks[1].id
    assert not any(event.index_tags() for event in events)


async def test_nobody_answers_marks_while_they_are_down() -> None:
    """`marks_down` is a dead writers' side: marks fail, everything else works."""
    log = MemoryLog()
    log.marks_down = True
    with pytest.raises(LogUnavailableError, match="mark"):
        await log.mark()
    assert log.publish(b"x") == 1


async def test_log_that_is_down_refuses_every_call() -> None:
    """While `down`, each method raises; afterwards nothing is lost."""
    log = MemoryLog()
    log.publish(b"x")
    log.down = True
    with pytest.raises(LogUnavailableError):
        await log.bounds()
    with pytest.raises(LogUnavailableError):
        await log.stamp(1)
    with pytest.raises(LogUnavailableError):
        await log.mark()
    with pytest.raises(LogUnavailableError):
        log.publish(b"y")
    with pytest.raises(LogUnavailableError):
        await anext(log.read(0))
    log.down = False
    assert await log.bounds() == Bounds(1, 1)


async def fail_reader_by(log: MemoryLog, loss: str) -> None:
    """Have a reader wait at the end of `log`, do `loss` to it, and expect the reader to fail."""
    reader = log.read(2)
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    match loss:
        case "down":
            log.down = True
        case "recreated":
            log.recreate(1000)
        case "truncated":
            log.truncate(1)
        case _:
            await log.close()
    with pytest.raises(LogUnavailableError):
        await waiting


@pytest.mark.parametrize("loss", ["down", "recreated", "truncated", "closed"])
async def test_waiting_reader_learns_of_a_loss(loss: str) -> None:
    """A reader that waits for the next event fails when the log goes down or loses events."""
    log = MemoryLog()
    log.publish(b"x")
    log.publish(b"y")
    await fail_reader_by(log, loss)


async def test_truncated_log_uses_its_sequences_again() -> None:
    """After a loss of its last events, new ones get their sequences, with other stamps."""
    log = MemoryLog()
    for _ in range(3):
        log.publish(b"x")
    before = await log.stamp(3)
    log.truncate(1)
    assert await log.bounds() == Bounds(1, 1)
    assert [log.publish(b"new"), log.publish(b"new")] == [2, 3]
    assert await log.stamp(3) != before


async def test_truncating_needs_a_held_boundary() -> None:
    """`truncate` refuses a sequence that the log does not hold."""
    log = MemoryLog()
    log.publish(b"x")
    with pytest.raises(ValueError, match=r"0\.\.1"):
        log.truncate(2)


async def test_recreated_log_begins_anew() -> None:
    """After `recreate` the old events are gone and the next one gets `first_seq`."""
    log = MemoryLog()
    log.publish(b"x")
    log.recreate(1000)
    assert await log.bounds() == Bounds(1000, 999)
    assert log.publish(b"y") == 1000
    assert await log.stamp(1) is None


async def test_slow_reader_sees_the_gap_of_retention() -> None:
    """A reader that retention overtook goes on with the first event held; sequences show it."""
    log = MemoryLog(messages_max=2)
    async with aclosing(log.read(0)) as batches:
        log.publish(b"x")
        assert [message.seq for message in await anext(batches)] == [1]
        for _ in range(5):
            log.publish(b"y")
        assert [message.seq for message in await anext(batches)] == [5, 6]

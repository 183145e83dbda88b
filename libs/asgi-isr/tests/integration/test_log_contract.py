"""The contract of `Log`, run over every implementation."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import pytest
from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import Invalidation, decode
from asgi_isr.ports import Bounds, Log, LogMessage
from asgi_isr.reports import PopularPages, Report

CALLERS = 8
Take = Callable[[Log, int, int], Awaitable[list[LogMessage]]]
Reading = AsyncGenerator[Sequence[LogMessage], None]


class Case(Protocol):
    """What the fixture `case` gives."""

    log: Log

    async def append(self, body: bytes) -> int:
        """Append an event with any body."""

    async def recreate(self) -> None:
        """Lose the whole log and begin another."""


async def test_empty_log_ends_before_it_begins(case: Case) -> None:
    """A log without events has `last == first - 1`."""
    bounds = await case.log.bounds()
    assert bounds.last == bounds.first - 1
    assert await case.log.stamp(bounds.first) is None


async def test_sequences_count_up_by_one(case: Case) -> None:
    """Events get neighbouring sequences from `first` on, and the bounds tell them."""
    first = (await case.log.bounds()).first
    assert [await case.append(b"x") for _ in range(3)] == [first, first + 1, first + 2]
    assert await case.log.bounds() == Bounds(first, first + 2)


async def test_reader_gets_what_stands_and_what_comes(case: Case, take: Take) -> None:
    """A reader gets the events above its position, then each new one, in order."""
    first = (await case.log.bounds()).first
    for body in (b"0", b"1", b"2"):
        await case.append(body)
    found: list[LogMessage] = []
    async with asyncio.timeout(10), aclosing(case.log.read(first)) as batches:
        async for batch in batches:
            found += batch
            if len(found) == 2:
                await case.append(b"3")
            if len(found) >= 3:
                break
    assert [(message.seq, message.body) for message in found] == [
        (first + 1, b"1"),
        (first + 2, b"2"),
        (first + 3, b"3"),
    ]
    assert (await take(case.log, first - 1, 4))[1:] == found


async def test_reader_waits_at_the_end(case: Case) -> None:
    """At the end of the log a reader waits, and the next event wakes it."""
    last = (await case.log.bounds()).last
    reader = case.log.read(last)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(anext_of(reader))
        assert not (await asyncio.wait({waiting}, timeout=0.05))[0]
        await case.append(b"next")
    assert [message.body for message in waiting.result()] == [b"next"]
    await reader.aclose()


async def anext_of(reader: Reading) -> list[LogMessage]:
    """Return the next batch, as a coroutine that a task can run."""
    return list(await anext(reader))


async def test_stamp_is_what_the_reader_saw(case: Case, take: Take) -> None:
    """The stamp of a sequence equals that of the message read there; each event has another."""
    first = (await case.log.bounds()).first
    for n in range(20):
        await case.append(b"%d" % n)
    messages = await take(case.log, first - 1, 20)
    assert [await case.log.stamp(message.seq) for message in messages] == [
        message.stamp for message in messages
    ]
    assert len({message.stamp for message in messages}) == 20
    assert await case.log.stamp(first + 20) is None
    assert await case.log.stamp(first - 1) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"\x00\xff\r\n", b"no event", b"x" * 700_000],
    ids=["empty", "mark", "binary", "text", "over the limit of events"],
)
async def test_body_is_delivered_as_it_is(case: Case, take: Take, body: bytes) -> None:
    """The log judges no body: the reader does."""
    seq = await case.append(body)
    (message,) = await take(case.log, seq - 1, 1)
    assert message.body == body


async def test_readers_are_independent(case: Case, take: Take) -> None:
    """Each reader gets every event, from its own position."""
    first = (await case.log.bounds()).first
    for _ in range(50):
        await case.append(b"x")
    starts = [first - 1, first + 9, first + 48]
    found = await asyncio.gather(*(take(case.log, start, first + 49 - start) for start in starts))
    assert [[message.seq for message in messages] for messages in found] == [
        list(range(start + 1, first + 50)) for start in starts
    ]


async def test_five_thousand_events_come_in_order(case: Case, take: Take) -> None:
    """Nothing is lost, doubled or swapped in a long run that is written while it is read."""
    last = (await case.log.bounds()).last
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(take_in_task(take, case.log, last))
        for start in range(0, 5000, 250):
            await asyncio.gather(*(case.append(b"%d" % n) for n in range(start, start + 250)))
    messages = reading.result()
    assert [message.seq for message in messages] == list(range(last + 1, last + 5001))
    assert sorted(int(message.body) for message in messages) == list(range(5000))


async def take_in_task(take: Take, log: Log, after: int) -> list[LogMessage]:
    """Read 5,000 events, as a coroutine that a task can run."""
    return await take(log, after, 5000)


async def test_mark_comes_after_what_was_published_before(case: Case, take: Take) -> None:
    """A mark lies beyond all earlier events, names nothing, and bears an id of its own."""
    before = await case.append(b"x")
    marks = [await case.log.mark(), await case.log.mark()]
    assert before < marks[0].seq < marks[1].seq
    events = [decode(message.body) for message in await take(case.log, before, 2)]
    assert [event.mark for event in events] == [mark.id for mark in marks]
    assert marks[0].id != marks[1].id
    assert not any(event.index_tags() for event in events)


async def test_own_event_is_announced(case: Case, take: Take) -> None:
    """An instance's own event stands in the log, at the sequence that it was told."""
    before = await case.append(b"x")
    seq = await case.log.announce(Invalidation(paths=("/page",), reason="PUT succeeded"))
    (message,) = await take(case.log, before, 1)
    assert (message.seq, decode(message.body).paths) == (seq, ("/page",))


async def test_reading_beyond_the_end_is_refused(case: Case) -> None:
    """A position that the log never reached belongs to another log: nothing may be skipped."""
    last = (await case.log.bounds()).last
    with pytest.raises(LogUnavailableError, match="before position"):
        async with asyncio.timeout(10):
            await anext(case.log.read(last + 1))


async def test_reader_goes_on_at_the_first_event_held(case: Case, take: Take) -> None:
    """A position that the log has left behind gets what is there; the sequences show the gap."""
    seq = await case.append(b"x")
    (message,) = await take(case.log, seq - 900, 1)
    assert message.seq == seq


async def test_recreated_log_lies_beyond_and_cuts_readers_off(case: Case) -> None:
    """After a loss of the whole log a waiting reader fails, and sequences begin beyond the old."""
    old = await case.append(b"x")
    reader = case.log.read(old - 1)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        assert [message.body for message in await anext(reader)] == [b"x"]
        waiting = tasks.create_task(failure_of(reader))
        await case.recreate()
        await case.append(b"y")
    assert isinstance(waiting.result(), LogUnavailableError)
    assert (await case.log.bounds()).first > old + 1


async def failure_of(reader: Reading) -> Exception | None:
    """Return the error that ends a reader before its next batch."""
    try:
        await anext(reader)
    except LogUnavailableError as error:
        return error
    return None


async def test_closed_log_can_be_used_again_in_another_loop_too(case: Case, take: Take) -> None:
    """`close` ends each reading; the next call opens the log again, here or in another loop."""
    seq = await case.append(b"x")
    await use_and_close(case.log, take, seq)
    await use_and_close(case.log, take, seq)
    await asyncio.to_thread(asyncio.run, use_and_close(case.log, take, seq))
    await use_and_close(case.log, take, seq)


async def use_and_close(log: Log, take: Take, seq: int) -> None:
    """Use the log, by several callers at once, and close it under a waiting reader."""
    bounds = await asyncio.gather(*(log.bounds() for _ in range(CALLERS)))
    marks = await asyncio.gather(*(log.mark() for _ in range(CALLERS)))
    assert sorted(mark.seq for mark in marks) == [
        bounds[0].last + 1 + number for number in range(CALLERS)
    ]
    own = await log.announce(Invalidation(tags=("a",)))
    await log.report(Report(instance="one", position=own, lease_s=1))
    await log.popular(PopularPages(instance="one", seq=own, pages=[]))
    message, *_ = await take(log, seq - 1, 1)
    assert (message.body, message.stamp) == (b"x", await log.stamp(seq))
    reader = log.read(own - 1)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        assert [message.seq for message in await anext(reader)] == [own]
        waiting = tasks.create_task(failure_of(reader))
        assert not (await asyncio.wait({waiting}, timeout=0.05))[0]
        await log.close()
    assert isinstance(waiting.result(), LogUnavailableError)

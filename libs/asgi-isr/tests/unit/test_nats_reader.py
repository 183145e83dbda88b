"""What a reader of the stream makes of each message: no loss may pass unseen."""

import asyncio

import pytest
from asgi_isr.errors import LogUnavailableError
from asgi_isr.logs.nats.log import nanoseconds
from asgi_isr.logs.nats.reader import READ_BYTES_MAX, READ_MESSAGES_MAX, Reader
from asgi_isr.nats.ack_subject import ack_offset
from asgi_isr.ports import LogMessage
from nats.aio.client import Client
from nats.aio.msg import Msg

CLIENT = Client()  # never connected: these tests hand the messages in themselves


def message(seq: int, delivered: int, body: bytes = b"x") -> Msg:
    """Make an event as the server delivers it."""
    return Msg(
        CLIENT, "cache.invalidations.v1.x", f"$JS.ACK.S.C.1.{seq}.{delivered}.{seq}0.0", body
    )


def heartbeat(last: int, stalled: str = "") -> Msg:
    """Make a heartbeat that says which delivery was the last."""
    headers = {"Status": "100", "Description": "Idle Heartbeat", "Nats-Last-Consumer": str(last)}
    if stalled:
        headers["Nats-Consumer-Stalled"] = stalled
    return Msg(CLIENT, "_INBOX.x", "", b"", headers)


def flow_control(subject: str) -> Msg:
    """Make a request of flow control."""
    headers = {"Status": "100", "Description": "FlowControl Request"}
    return Msg(CLIENT, "_INBOX.x", subject, b"", headers)


async def read(*messages: Msg, pending_messages_max: int = 100) -> tuple[list[int], str]:
    """Hand `messages` to a reader at position 10; return the sequences it gave, and its failure."""
    reader = Reader(CLIENT, 10, timeout_s=1, pending_messages_max=pending_messages_max)
    for each in messages:
        await reader._receive(each)
    found: list[int] = []
    async with asyncio.timeout(5):
        while True:
            try:
                found += [each.seq for each in await reader.batch()]
            except LogUnavailableError as error:
                return found, str(error)


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.STREAM.CONSUMER.1.1795402672550334.17.1795402672559562605.0",
        "$JS.ACK.hub.ACCHASH.STREAM.CONSUMER.1.1795402672550334.17.1795402672559562605.0",
        "$JS.ACK._.ACCHASH.STREAM.CONSUMER.1.1795402672550334.17.1795402672559562605.0.random",
    ],
    ids=["9 tokens", "11 tokens", "12 tokens"],
)
def test_all_layouts_of_the_ack_subject_are_read(reply: str) -> None:
    """Servers with and without domains say the same in other places."""
    tokens = reply.split(".")
    at = ack_offset(tokens)
    assert tokens[at : at + 5] == [
        "1", "1795402672550334", "17", "1795402672559562605", "0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-23T02:57:52.559174117Z", 1795402672559174117),
        ("2026-11-23T02:57:52.5Z", 1795402672500000000),
        ("2026-11-23T02:57:52.000000001Z", 1795402672000000001),
        ("2026-11-23T02:57:52Z", 1795402672000000000),
    ],
)
def test_times_are_exact_to_the_nanosecond(time: str, expected: int) -> None:
    """A stamp that is asked for equals the one that is delivered, digit for digit."""
    assert nanoseconds(time) == expected


async def test_message_carries_sequence_stamp_and_body() -> None:
    """An event arrives as the log holds it."""
    reader = Reader(CLIENT, 10, timeout_s=1)
    await reader._receive(message(11, 1))
    assert list(await reader.batch()) == [LogMessage(11, "110", b"x")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"x", READ_MESSAGES_MAX), (b"x" * (READ_BYTES_MAX // 4), 4), (b"x" * READ_BYTES_MAX, 1)],
    ids=["many", "large", "huge"],
)
async def test_batch_is_bounded_by_messages_and_bytes(body: bytes, expected: int) -> None:
    """What waits comes in batches that are applied in a moment, nothing of it is lost."""
    reader = Reader(CLIENT, 10, timeout_s=1)
    count = READ_MESSAGES_MAX + 10
    for number in range(1, count + 1):
        await reader._receive(message(10 + number, number, body))
    first = await reader.batch()
    assert len(first) == expected
    found = [each.seq for each in first]
    while len(found) < count:
        found += [each.seq for each in await reader.batch()]
    assert found == list(range(11, 11 + count))


async def test_lost_delivery_is_noticed_by_the_next_message() -> None:
    """A hole in the deliveries ends the reading, after what came before it."""
    found, failure = await read(message(11, 1), message(13, 3), message(14, 4))
    assert found == [11]
    assert "after delivery 1 were lost" in failure


async def test_lost_delivery_is_noticed_by_the_heartbeat() -> None:
    """If the last messages were lost the heartbeat tells."""
    found, failure = await read(message(11, 1), heartbeat(2), message(13, 3))
    assert found == [11]
    assert "after delivery 1 were lost" in failure


async def test_heartbeat_that_agrees_changes_nothing() -> None:
    """A heartbeat between messages is no loss; this client is just not connected."""
    found, failure = await read(heartbeat(0), message(11, 1), heartbeat(1), message(12, 2))
    assert found == [11, 12]
    assert "connection to NATS broke" in failure


async def test_gap_in_the_sequences_is_left_to_the_follower() -> None:
    """Events that the log itself dropped leave a gap that the reader hands on."""
    found, _ = await read(message(11, 1), message(15, 2))
    assert found == [11, 15]


@pytest.mark.parametrize("seq", [10, 3])
async def test_sequence_that_was_seen_is_refused(seq: int) -> None:
    """A log that was set back gives sequences again: that is another log."""
    found, failure = await read(message(seq, 1))
    assert found == []
    assert "set back" in failure


async def test_end_of_the_consumer_is_a_failure() -> None:
    """Any status but a heartbeat or flow control ends the reading with its words."""
    gone = Msg(CLIENT, "_INBOX.x", "", b"", {"Status": "409", "Description": "Consumer Deleted"})
    found, failure = await read(message(11, 1), gone)
    assert found == [11]
    assert "Consumer Deleted" in failure


async def test_more_than_the_bound_is_a_failure_after_what_fits() -> None:
    """Over the bound nothing is dropped in silence, and nothing follows the hole."""
    messages = [message(10 + n, n) for n in range(1, 6)]
    found, failure = await read(*messages, pending_messages_max=3)
    assert found == [11, 12, 13]
    assert "more than 3" in failure


async def test_flow_control_waits_for_what_came_before_it() -> None:
    """Its answer stands in the queue behind the messages, once, however often it is repeated."""
    reader = Reader(CLIENT, 10, timeout_s=1)
    for each in (message(11, 1), flow_control("$JS.FC.a"), heartbeat(1, "$JS.FC.a")):
        await reader._receive(each)
    assert list(reader._pending) == [LogMessage(11, "110", b"x"), "$JS.FC.a"]

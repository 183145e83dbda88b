"""What a reader of the stream makes of what comes and what is missing: no loss may pass unseen."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from asgi_isr.errors import LogUnavailableError
from asgi_isr.logs.nats import reader as reading
from asgi_isr.logs.nats.leader import State
from asgi_isr.logs.nats.reader import READ_BYTES_MAX, READ_MESSAGES_MAX, Reader
from asgi_isr.nats import Headers
from asgi_isr.nats.ack_subject import ack_offset
from asgi_isr.ports import LogMessage
from asgi_isr.testing import eventually
from nats.aio.msg import Msg

CREATED = "2026-12-01T02:00:00Z"
BEGIN = 10  # the position of each reader


def event(seq: int, body: bytes = b"x", stamp: str = "") -> LogMessage:
    """Make an event as a reader gives it."""
    return LogMessage(seq, stamp or f"at {seq}", body)


class Subscription:
    """What a client gives for a subscription."""

    async def unsubscribe(self) -> None:
        """Do nothing."""


class Client:
    """A connection that stands until the test says otherwise."""

    class Version:
        """Of the server."""

        major, minor = 2, 11

    def __init__(self) -> None:
        self.is_connected = True
        self.stats = {"reconnects": 0}
        self.connected_server_version = self.Version()

    async def subscribe(self, subject: str, **_: Any) -> Subscription:
        """Take it."""
        assert subject == "cache.log.v1.>"
        return Subscription()


class Log:
    """A log as its leader (`held`) and the replica that answers direct gets (`lagging`) have it."""

    def __init__(self, *seqs: int, first: int = 1) -> None:
        self.held = {seq: event(seq) for seq in seqs}
        self.lagging: set[int] = set()
        self.first = first
        self.last = max(seqs, default=BEGIN)
        self.created = CREATED
        self.config: dict[str, Any] = {
            "republish": {"src": ">", "dest": "cache.log.v1.>"}, "allow_direct": True,
        }  # fmt: skip
        self.asked: list[str] = []

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def get(self, first: int, last: int, bytes_max: int) -> list[LogMessage]:
        """Answer a direct get."""
        self.asked.append(f"{first}-{last}")
        found: list[LogMessage] = []
        for seq in range(first, last + 1):
            message = self.held.get(seq)
            if message is None or seq in self.lagging or bytes_max <= 0:
                break
            found.append(message)
            bytes_max -= len(message.body)
        return found

    async def at_or_after(self, seq: int) -> LogMessage | None:
        """Answer for the leader."""
        self.asked.append(f"leader {seq}")
        return next((self.held[each] for each in sorted(self.held) if each >= seq), None)

    async def stamp(self, seq: int) -> str | None:
        """Answer for the leader."""
        self.asked.append(f"stamp {seq}")
        return self.held[seq].stamp if seq in self.held else None

    async def state(self) -> State:
        """Answer for the leader."""
        self.asked.append("state")
        held: Any = type("Held", (), {
            "messages": len(self.held), "first_seq": min(self.held, default=self.first),
            "last_seq": self.last,
        })()  # fmt: skip
        return State(created=self.created, config=self.config, state=held)


def sent(seq: int, body: bytes = b"x", fields: bytes = b"", stamp: str = "") -> Msg:
    """Make an event as the server republishes it; `fields` are its publisher's."""
    stamp = stamp or f"at {seq}"
    raw = (
        b"NATS/1.0\r\n%bNats-Stream: S\r\nNats-Subject: cache.invalidations.v1.shop\r\n"
        b"Nats-Sequence: %d\r\nNats-Time-Stamp: %b\r\nNats-Last-Sequence: 0\r\n\r\n"
        % (fields, seq, stamp.encode())
    )
    return Msg(Client(), "cache.log.v1.any", "", body, Headers(raw))  # type: ignore[arg-type]


async def opened(log: Log, client: Client | None = None, **options: Any) -> Reader:
    """Open a reader at the position 10."""
    reader = Reader(client or Client(), log, log, BEGIN, timeout_s=1, **options)  # type: ignore[arg-type]
    await reader.open()
    log.asked.clear()
    return reader


async def read(reader: Reader, *messages: Msg, until: int) -> list[int]:
    """Send `messages`; return the sequences that come up to `until`."""
    for each in messages:
        await reader._receive(each)
    found: list[int] = []
    async with asyncio.timeout(5):
        while not found or found[-1] < until:
            found += [each.seq for each in await reader.batch()]
    return found


async def failure(reader: Reader, *messages: Msg) -> str:
    """Send `messages`; return why the reading ends."""
    with pytest.raises(LogUnavailableError) as ended:
        await read(reader, *messages, until=10**9)
    return str(ended.value)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a silence last no time."""
    monkeypatch.setattr(reading, "SILENCE_S", 0.001)


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


async def test_messages_that_are_sent_are_read_without_a_question() -> None:
    """What comes in order needs no answer of the server's."""
    log = Log()
    reader = await opened(log)
    assert await read(reader, sent(11), sent(12), until=12) == [11, 12]
    assert not log.asked


async def test_message_carries_sequence_stamp_body_and_count() -> None:
    """An event arrives as the log holds it, its source and number by the server's word."""
    reader = await opened(Log())
    await reader._receive(sent(11, b"body", b"Cache-Sequence: 7\r\n", stamp="then"))
    assert list(await reader.batch()) == [LogMessage(11, "then", b"body", "shop", 7)]


@pytest.mark.parametrize(
    "fields",
    [
        b"Nats-Sequence: 900000000\r\n",
        b"Nats-Subject: cache.marks.v1.api\r\nCache-Sequence: 900000000\r\n",
        b"Nats-Time-Stamp: never\r\n",
        b"Status: 503\r\nDescription: No Responders\r\n",
        b"Nats-Num-Pending: 7\r\nNats-Last-Sequence: 9\r\nNats-Stream: OTHER\r\n",
        b"no colon\r\n: no name\r\n\x00\xff\xfe\r\n \r\n",
        b"A: b\n Nats-Sequence: 5\r\n",
        b"X: y\r",
        b"A: " + b"x" * 60_000 + b"\r\n",
        b"a:\r\n" * 16_000,
    ],
    ids=[
        "sequence", "source", "stamp", "status", "others", "rubbish", "folded", "cut off", "long",
        "many",
    ],
)  # fmt: skip
async def test_what_a_publisher_writes_changes_nothing_of_others(fields: bytes) -> None:
    """Sequence, stamp and source are the server's, and no field of a publisher breaks a reading."""
    reader = await opened(Log())
    await reader._receive(sent(11, fields=fields))
    (message,) = await reader.batch()
    assert (message.seq, message.stamp, message.body) == (11, "at 11", b"x")
    assert message.source in {"", "shop"}


async def test_status_is_no_message() -> None:
    """An answer of the server's that somebody had sent to the log's readers is left aside."""
    reader = await opened(Log())
    end = Headers(b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 99\r\n\r\n")
    answers = [
        Msg(Client(), "cache.log.v1.x", "", b"", end),  # type: ignore[arg-type]
        Msg(Client(), "cache.log.v1.x", "", b'{"message":{"seq":12}}'),  # type: ignore[arg-type]
    ]
    assert await read(reader, *answers, sent(11), until=11) == [11]


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"x", READ_MESSAGES_MAX), (b"x" * (READ_BYTES_MAX // 4), 4), (b"x" * READ_BYTES_MAX, 1)],
    ids=["many", "large", "huge"],
)
async def test_batch_is_bounded_by_messages_and_bytes(body: bytes, expected: int) -> None:
    """What waits comes in batches that are applied in a moment, nothing of it is lost."""
    reader = await opened(Log())
    count = READ_MESSAGES_MAX + 10
    for seq in range(11, 11 + count):
        await reader._receive(sent(seq, body))
    first = await reader.batch()
    assert len(first) == expected
    rest = await read(reader, until=10 + count)
    assert [*(each.seq for each in first), *rest] == list(range(11, 11 + count))


async def test_what_stood_before_is_fetched() -> None:
    """A reading begins at its position, however much stands there, in bounded steps."""
    last = 11 + 2 * READ_MESSAGES_MAX
    log = Log(*range(11, last + 1))
    reader = await opened(log)
    assert await read(reader, until=last) == list(range(11, last + 1))
    assert log.asked == ["11-266", "267-522", "523-523"]


async def test_lost_message_is_fetched_in_its_place() -> None:
    """A hole in what comes is closed before anything after it is given."""
    log = Log(*range(11, 16))
    log.last = BEGIN
    reader = await opened(log)
    assert await read(reader, sent(11), sent(14), sent(15), until=15) == [11, 12, 13, 14, 15]
    assert log.asked == ["12-13"]


@pytest.mark.usefixtures("impatient")
async def test_lost_end_is_fetched_after_a_silence() -> None:
    """If the last messages were lost the leader tells that there are some."""
    log = Log()
    reader = await opened(log)
    assert await read(reader, sent(11), until=11) == [11]
    log.held, log.last = Log(11, 12, 13).held, 13
    assert await read(reader, until=13) == [12, 13]
    assert log.asked[-2:] == ["state", "12-13"]


async def test_more_than_the_bound_is_fetched_later() -> None:
    """A reader that is too slow loses nothing: what was dropped is fetched when it is its turn."""
    log = Log(*range(11, 21))
    log.last = BEGIN
    reader = await opened(log, pending_messages_max=3)
    messages = [sent(seq) for seq in range(11, 21)]
    assert await read(reader, *messages, until=20) == list(range(11, 21))
    assert log.asked == ["14-20"]


async def test_replica_that_lags_proves_nothing() -> None:
    """What a replica does not have the leader is asked for, message by message."""
    log = Log(11, 12, 13)
    log.lagging = {12, 13}
    reader = await opened(log)
    assert await read(reader, until=13) == [11, 12, 13]
    assert [each for each in log.asked if each.startswith("leader")] == ["leader 12", "leader 13"]


async def test_beginning_that_the_log_dropped_leaves_a_gap() -> None:
    """Where the leader no longer has what follows, the next one is given: the follower sees it."""
    reader = await opened(Log(15, 16))
    assert await read(reader, until=16) == [15, 16]


async def test_log_whose_messages_are_all_gone_is_waited_on() -> None:
    """Where everything up to the end was dropped, the next message shows the gap."""
    log = Log()
    log.last = 20
    reader = await opened(log)
    assert await read(reader, sent(21), until=21) == [21]


async def test_message_that_was_fetched_may_come_late() -> None:
    """A message that comes twice is given once, and the leader asked if the log is the same.

    Once for many: whoever has old messages sent here must not make each reader ask for each.
    """
    log = Log(11, 12)
    reader = await opened(log)
    assert await read(reader, until=12) == [11, 12]
    log.asked.clear()
    for seq in (13, 14, 15):
        for old in (11, 12):
            await reader._receive(sent(old))
        waiting = asyncio.ensure_future(read(reader, until=seq))
        await eventually(lambda: not reader._pending)
        await reader._receive(sent(seq))
        assert await waiting == [seq]
    assert log.asked == ["state", "stamp 12"]


async def test_log_that_was_set_back_is_noticed() -> None:
    """Another message at a sequence that was read ends the reading: the log lost its end."""
    log = Log(11, 12)
    reader = await opened(log)
    await read(reader, until=12)
    log.held[12] = event(12, stamp="later")
    assert "set back" in await failure(reader, sent(12, stamp="later"))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("last", [BEGIN + 1, 1])
async def test_log_that_lost_its_end_is_noticed_in_silence(last: int) -> None:
    """A log that ends before what was read is another one."""
    log = Log(11, 12)
    reader = await opened(log)
    await read(reader, until=12)
    log.last = last
    assert f"the log ends at {last}, before position 12" in await failure(reader)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("messages", [[], [sent(5_000)]], ids=["silent", "growing"])
async def test_log_that_was_recreated_is_noticed(messages: Sequence[Msg]) -> None:
    """A new stream of the same name ends the reading, whatever its sequences are."""
    log = Log(11)
    reader = await opened(log)
    await read(reader, until=11)
    log.created, log.held, log.last = "later", {5_000: event(5_000)}, 5_000
    assert "recreated" in await failure(reader, *messages)


async def test_message_that_the_leader_does_not_know_ends_the_reading() -> None:
    """What nobody has is not waited for in place: the follower attaches again."""
    assert "though message 12 was heard of" in await failure(await opened(Log()), sent(12))


@pytest.mark.usefixtures("impatient")
async def test_subject_that_nobody_may_hear_is_named() -> None:
    """Where messages are only ever found by asking, the account or the user lacks a right."""
    log = Log()
    reader = await opened(log)
    for seq in (11, 12):
        log.held[seq], log.last = event(seq), seq
        assert await read(reader, until=seq) == [seq]
    log.held[13], log.last = event(13), 13
    assert "no message comes on cache.log.v1.>" in await failure(reader)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"republish": None}, "is not republished to cache.log.v1.>; the writers' side sets it"),
        ({"republish": {"src": ">", "dest": "other.>"}}, "is not republished"),
        (
            {"republish": {"src": ">", "dest": "cache.log.v1.>", "headers_only": True}},
            "is not republished",
        ),
        ({"allow_direct": False}, "does not allow direct gets"),
    ],
)
async def test_stream_that_cannot_be_read_is_named(change: dict[str, Any], said: str) -> None:
    """Whoever only reads says what is missing, and who sets it."""
    log = Log()
    log.config |= change
    with pytest.raises(LogUnavailableError, match=said):
        await opened(log)


async def test_server_that_is_too_old_is_named() -> None:
    """Before 2.11 a direct get answers with one message, however many it was asked for."""
    client = Client()
    client.connected_server_version.minor = 10
    with pytest.raises(LogUnavailableError, match=r"NATS 2\.11 or newer is needed"):
        await opened(Log(), client)


async def test_connection_that_broke_in_between_ends_the_reading() -> None:
    """A client that reconnected may have missed anything; what came before is given first."""
    client = Client()
    reader = await opened(Log(), client)
    await reader._receive(sent(11))
    client.stats["reconnects"] += 1
    assert [each.seq for each in await reader.batch()] == [11]
    assert "connection to NATS broke" in await failure(reader)

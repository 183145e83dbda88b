"""The stream as rule 7 wants it, and what `NatsLog` publishes into it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgi_isr.errors import InvalidEventError, LogUnavailableError
from asgi_isr.events import (
    MARK_REQUEST_SUBJECT,
    MARK_SUBJECT_PREFIX,
    STREAM,
    SUBJECT_PREFIX,
    Invalidation,
    decode,
    mark_body,
)
from asgi_isr.logs.nats import (
    LogConfigurationError,
    NatsLog,
    close,
    ensure_stream,
)
from asgi_isr.ports import Log, LogMessage
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import RePublish, StorageType, StreamConfig
from perfcheck_embedded import Servers

NewClient = Callable[[str], Awaitable[Client]]
NewLog = Callable[..., NatsLog]
Take = Callable[[Log, int, int], Awaitable[list[LogMessage]]]
EVENT = Invalidation(tags=("currency:usd",), paths=("/pairs/usd/*",), mode="soft", reason="test")


class FixedClock:
    """A clock that stands still."""

    def monotonic(self) -> float:
        """Return a constant."""
        return 0.0

    def wall(self) -> float:
        """Return a moment of October 2026."""
        return 1_793_358_001.005


@pytest.fixture
async def log(new_log: NewLog, js: JetStreamContext, steady_servers: Servers) -> NatsLog:
    """Give a log on an empty stream, of an app with a relay."""
    await ensure_stream(js)
    return new_log(steady_servers.nats_url, source="test", timeout_s=5, clock=FixedClock())


async def settled(client: Client) -> None:
    """Wait until the server knows the subscriptions: nats-py sends the first ping before them."""
    await client.flush()
    await client.flush()


async def test_stream_is_as_rule_7_says(js: JetStreamContext) -> None:
    """The first sequence is the time in microseconds; nothing can be deleted or purged."""
    assert await ensure_stream(js, clock=FixedClock())
    info = await js.stream_info(STREAM)
    config = info.config
    assert info.state.first_seq == 1_793_358_001_005_000
    assert set(config.subjects or ()) == {f"{SUBJECT_PREFIX}.>", f"{MARK_SUBJECT_PREFIX}.>"}
    assert (config.deny_delete, config.deny_purge) == (True, True)
    assert (config.storage, config.retention, config.discard) == ("file", "limits", "old")
    assert (config.max_age, config.max_bytes, config.max_msgs) == (7 * 86400, 1 << 30, -1)
    assert (config.max_msgs_per_subject, config.allow_msg_ttl) == (-1, False)
    assert config.duplicate_window == 30
    assert config.allow_direct
    assert config.republish == RePublish(src=">", dest="cache.log.v1.>")
    with pytest.raises(NatsError):
        await js.purge_stream(STREAM)


async def test_stream_is_created_once(js: JetStreamContext) -> None:
    """Of many processes that start at once one creates the stream, and all go on."""
    created = await asyncio.gather(*(ensure_stream(js) for _ in range(8)))
    assert created.count(True) == 1
    assert not await ensure_stream(js)


async def test_unfit_stream_is_refused_with_every_flaw(js: JetStreamContext) -> None:
    """A stream that breaks the protocol is named with the fields to repair, and left alone."""
    await js.add_stream(
        StreamConfig(
            name=STREAM,
            subjects=[f"{SUBJECT_PREFIX}.>"],
            storage=StorageType.MEMORY,
            max_msgs_per_subject=1,
        )
    )
    with pytest.raises(LogConfigurationError) as refused:
        await ensure_stream(js, replicas=3)
    for flaw in (
        "subjects is",
        "first_seq is",
        "deny_delete is false, must be true",
        "deny_purge is",
        "storage is",
        "max_msgs_per_subject is 1",
        "num_replicas is 1, must be >= 3",
    ):
        assert flaw in str(refused.value)
    assert "retention" not in str(refused.value)


async def test_stream_needs_jetstream_in_time(js: JetStreamContext) -> None:
    """Without a connection the stream cannot be judged: that is an error, not a hang."""
    client = js._nc
    await close(client)
    with pytest.raises(LogUnavailableError):
        await ensure_stream(js)


async def test_published_event_is_read_as_it_was(log: NatsLog, take: Take) -> None:
    """The body of an event goes through the log unchanged."""
    seq = await log.publish(EVENT)
    (message,) = await take(log, seq - 1, 1)
    assert decode(message.body) == EVENT


async def test_published_event_carries_cloudevents_headers(
    js: JetStreamContext, log: NatsLog
) -> None:
    """Subject and headers name source, id and time; another source may be given."""
    seq = await log.publish(EVENT, "api-1.local", "id-1")
    stored = await js.get_msg(STREAM, seq)
    assert stored.subject == f"{SUBJECT_PREFIX}.api-1.local"
    assert stored.headers is not None
    assert stored.headers["Nats-Msg-Id"] == "id-1"
    assert stored.headers["ce-source"] == "api-1.local"
    assert stored.headers["ce-time"] == "2026-10-30T11:00:01.005000+00:00"


async def test_id_that_was_published_before_is_refused(log: NatsLog) -> None:
    """The same id on a first attempt is an error; after a second one the event stands for sure."""
    seq = await log.publish(EVENT, event_id="id-2")
    with pytest.raises(InvalidEventError, match="event_id: 'id-2' was published before"):
        await log.publish(EVENT, event_id="id-2")
    again = await log.publish(EVENT, event_id="id-2", again=True)
    assert again == (await log.bounds()).last > seq


async def test_id_that_another_took_between_two_attempts(
    js: JetStreamContext, log: NatsLog
) -> None:
    """Whoever took an id makes no event vanish: it is published under another one, as itself."""
    await js.publish(f"{SUBJECT_PREFIX}.shop", b"{}", headers={"Nats-Msg-Id": "id-3"})
    seq = await log.publish(EVENT, event_id="id-3", again=True)
    stored = await js.get_msg(STREAM, seq)
    assert (decode(stored.data or b""), (stored.headers or {})["ce-id"]) == (EVENT, "id-3")


async def test_what_is_published_once_has_no_id_to_take(
    js: JetStreamContext, new_log: NewLog, steady_servers: Servers
) -> None:
    """Events and marks whose ids are drawn here cannot be taken for another's."""
    await ensure_stream(js)
    drawn = new_log(
        steady_servers.nats_url, source="test", publish_marks=True, new_id=lambda: "one"
    )
    await js.publish(f"{SUBJECT_PREFIX}.shop", b"{}", headers={"Nats-Msg-Id": "one"})
    seqs = [await drawn.publish(EVENT), (await drawn.mark()).seq, await drawn.announce(EVENT)]
    stored = [await js.get_msg(STREAM, seq) for seq in seqs]
    assert [decode(message.data or b"") for message in stored] == [
        EVENT, Invalidation(mark="one"), EVENT,
    ]  # fmt: skip
    assert [(message.headers or {}).get("ce-id") for message in stored] == ["one", None, "one"]


async def test_invalid_event_is_not_published(log: NatsLog) -> None:
    """An event that must not be published leaves no trace in the log."""
    with pytest.raises(InvalidEventError, match="tags"):
        await log.publish(Invalidation())
    bounds = await log.bounds()
    assert bounds.last == bounds.first - 1


@pytest.mark.parametrize("source", ["", "a b", "a.", ".a", "a..b", "a>", "*", "a\r\nPUB"])
async def test_source_that_is_no_subject_is_refused(new_log: NewLog, source: str) -> None:
    """A source must fit in a subject: a wildcard or a line end there is a mistake."""
    with pytest.raises(ValueError, match="source"):
        new_log("nats://127.0.0.1:1", source=source)


async def test_relay_answers_requests_for_marks(
    new_client: NewClient, js: JetStreamContext, log: NatsLog, steady_servers: Servers
) -> None:
    """Without `publish_marks` the log asks the relay, with an empty body, and takes its answer."""
    relay = await new_client(steady_servers.nats_url)
    asked: list[bytes] = []

    async def answer(message: Msg) -> None:
        asked.append(message.data)
        ack = await js.publish(f"{MARK_SUBJECT_PREFIX}.relay", mark_body("one"))
        await message.respond(b'{"seq":%d,"id":"one"}' % ack.seq)

    await relay.subscribe(MARK_REQUEST_SUBJECT, cb=answer)
    await settled(relay)
    assert await log.mark() == ((await log.bounds()).last, "one")
    assert asked == [b""]


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"seq":"x"}', b'{"seq":1}', b"ok"])
async def test_answer_that_is_no_mark_is_refused(
    new_client: NewClient, log: NatsLog, steady_servers: Servers, answer: bytes
) -> None:
    """A lease must not be renewed by an answer of another form."""
    relay = await new_client(steady_servers.nats_url)

    async def respond(message: Msg) -> None:
        await message.respond(answer)

    await relay.subscribe(MARK_REQUEST_SUBJECT, cb=respond)
    await settled(relay)
    with pytest.raises(LogUnavailableError, match="another form"):
        await log.mark()


async def test_app_without_a_relay_creates_its_log(
    steady_servers: Servers, js: JetStreamContext, new_log: Callable[..., NatsLog]
) -> None:
    """With `publish_marks` the first look at a missing stream creates it; without, it is named."""
    with pytest.raises(LogUnavailableError, match="does not exist"):
        await new_log(steady_servers.nats_url).bounds()
    bounds = await new_log(steady_servers.nats_url, publish_marks=True).bounds()
    assert bounds.first == bounds.last + 1
    assert (await js.stream_info(STREAM)).config.deny_purge


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("product:42",), TypeError, "event: expected an Invalidation, got str"),
        ((b"{}",), TypeError, "event: expected an Invalidation, got bytes"),
        ((EVENT, b"shop"), TypeError, "source: expected a string or None, got bytes"),
        ((EVENT, "a shop"), ValueError, "source: 'a shop' has characters other than"),
        ((EVENT, "shop", 7), TypeError, "event_id: expected a string or None, got int"),
        ((EVENT, "shop", "a\r\nb"), InvalidEventError, "event_id: .* has control characters"),
    ],
)
async def test_wrong_argument_fails_at_the_call(
    log: NatsLog, arguments: Any, error: type[Exception], said: str
) -> None:
    """The error names the argument and what is wanted; nothing is published."""
    before = await log.bounds()
    with pytest.raises(error, match=said):
        await log.publish(*arguments)
    assert await log.bounds() == before


def test_a_log_needs_a_url_or_a_client() -> None:
    """Something else is refused where it is given."""
    wrong: Any = b"nats://127.0.0.1:4222"
    with pytest.raises(TypeError, match="connection: expected a URL or a nats-py Client"):
        NatsLog(wrong)


def test_a_log_opens_in_one_loop_after_another(steady_servers: Servers) -> None:
    """Calls that wait for one connection in a loop do not bind the log to it."""
    log = NatsLog(steady_servers.nats_url, source="test", publish_marks=True, timeout_s=5)

    async def use() -> None:
        await asyncio.gather(*(log.bounds() for _ in range(8)))
        before = await log.bounds()
        assert await log.publish(EVENT) > before.last
        reading = log.read(before.last)
        assert [message.seq for message in await anext(reading)] == [before.last + 1]
        await log.close()
        with pytest.raises(LogUnavailableError, match="closed"):
            await anext(reading)

    for _ in range(10):
        asyncio.run(use())


def test_a_log_is_open_in_one_loop_at_a_time(steady_servers: Servers) -> None:
    """A second loop gets an error, until the first has closed the log."""
    log = NatsLog(steady_servers.nats_url, source="test", publish_marks=True, timeout_s=5)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(log.bounds())
        with pytest.raises(RuntimeError, match="open in another event loop"):
            second.run(log.bounds())
        first.run(log.close())
        second.run(log.bounds())
        second.run(log.close())


async def test_app_without_a_relay_repairs_its_log(
    steady_servers: Servers, js: JetStreamContext, new_log: NewLog, take: Take
) -> None:
    """A stream of an older version is raised by a reading; who only reads says what it lacks."""
    await ensure_stream(js)
    config = (await js.stream_info(STREAM)).config
    config.republish, config.allow_direct = None, False
    await js.update_stream(config)
    seq = (await js.publish(f"{SUBJECT_PREFIX}.test", b"x")).seq
    reader = new_log(steady_servers.nats_url, timeout_s=5)
    with pytest.raises(LogUnavailableError, match="is not republished to cache"):
        await take(reader, seq - 1, 1)
    owner = new_log(steady_servers.nats_url, publish_marks=True, timeout_s=5)
    assert [message.seq for message in await take(owner, seq - 1, 1)] == [seq]
    assert [message.seq for message in await take(reader, seq - 1, 1)] == [seq]


async def test_app_without_a_relay_tells_what_it_cannot_repair(
    steady_servers: Servers, js: JetStreamContext, new_log: NewLog, take: Take
) -> None:
    """A stream of this name that was made for something else is not read."""
    await js.add_stream(name=STREAM, subjects=[f"{SUBJECT_PREFIX}.>"])
    owner = new_log(steady_servers.nats_url, publish_marks=True, timeout_s=5)
    with pytest.raises(LogUnavailableError, match="first_seq is missing"):
        await take(owner, 0, 1)

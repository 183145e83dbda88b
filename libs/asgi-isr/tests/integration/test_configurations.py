"""Streams and consumers that somebody altered: repaired or refused, and never used as they are."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from asgi_isr.errors import LogUnavailableError
from asgi_isr.logs.nats import LogConfigurationError, ensure_instances_stream, ensure_stream
from asgi_isr.logs.nats.streams import instances_spec, invalidations_spec
from asgi_isr.nats import (
    Api,
    ConsumerSpec,
    Link,
    PullConsumer,
    StreamSpec,
    ensure_consumer,
)
from asgi_isr.nats import consumer as consumer_module
from asgi_isr.nats import ensure_stream as ensure
from asgi_isr.nats.streams import stream_flaws
from nats.aio.client import Client
from nats.js import JetStreamContext
from perfcheck_embedded import Servers

S = 1_000_000_000
LOG = invalidations_spec()
WORK = StreamSpec(
    name="TEST_ALTERED", subjects=("test.altered.v1",), age_s_max=3600,
    bytes_max=1 << 20, message_bytes_min=1 << 10,
)  # fmt: skip
CONSUMER = ConsumerSpec(stream=WORK.name, durable="worker", ack_wait_s=30)
OTHER = "TEST_OTHER"


async def ask(client: Client, subject: str, body: object = None) -> dict[str, Any]:
    """Send a request to JetStream's API; return its answer, which is no error."""
    answer: dict[str, Any] = json.loads(
        (await client.request(subject, b"" if body is None else json.dumps(body).encode())).data
    )
    assert "error" not in answer, answer["error"]
    return answer


async def config_of(client: Client, name: str) -> dict[str, Any]:
    """Return how a stream is configured, all fields."""
    config: dict[str, Any] = (await ask(client, Api().stream("INFO", name)))["config"]
    return config


async def drop(client: Client, *names: str) -> None:
    """Delete streams that may be there."""
    for name in names:
        await client.request(Api().stream("DELETE", name))


@pytest.fixture
async def client(
    steady_servers: Servers, new_client: Callable[[str], Awaitable[Client]]
) -> AsyncIterator[Client]:
    """Give a client of a server without any of the streams."""
    connected = await new_client(steady_servers.nats_url)
    names = (LOG.name, WORK.name, OTHER, instances_spec().name)
    await drop(connected, *names)
    yield connected
    await drop(connected, *names)


@pytest.fixture
def js(client: Client) -> JetStreamContext:
    """Give JetStream on it."""
    return client.jetstream()


MENDED: list[dict[str, Any]] = [
    {"republish": None},
    {"republish": {"src": ">", "dest": "cache.log.v1.>", "headers_only": True}},
    {"republish": {"src": "cache.marks.v1.>", "dest": "cache.log.v1.>"}},
    {"republish": {"src": ">", "dest": "elsewhere.>"}},
    {"allow_direct": False},
    {"max_msgs": 10},
    {"max_bytes": 1024},
    {"max_age": 60 * S, "duplicate_window": 30 * S},
    {"max_msgs_per_subject": 1},
    {"discard": "new"},
    {"duplicate_window": 3600 * S},
    {"allow_rollup_hdrs": True, "deny_purge": False},
    {"no_ack": True},
    {"subjects": [*LOG.subjects, "anything.>"]},
    {"subjects": ["cache.marks.v1.>"]},
    {"sources": [{"name": OTHER}]},
    {"subject_transform": {"src": "cache.marks.v1.*", "dest": "cache.marks.v1.a"}},
    {"consumer_limits": {"inactive_threshold": S}},
    {"discard": "new", "max_msgs_per_subject": 1, "discard_new_per_subject": True},
]  # fmt: skip
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"storage": "memory", "max_bytes": 1 << 20}, "storage is memory, must be file"),
    ({"retention": "interest"}, "retention is interest, must be limits"),
    ({"retention": "workqueue"}, "retention is workqueue, must be limits"),
    ({"first_seq": None}, "first_seq is missing, must be microseconds since 1970"),
    ({"first_seq": 7}, "first_seq is 7, must be microseconds since 1970"),
    ({"allow_msg_ttl": True}, "allow_msg_ttl is true, must be left out"),
    ({"allow_msg_counter": True}, "allow_msg_counter is true, must be left out"),
    ({"mirror": {"name": OTHER}, "subjects": None, "first_seq": None}, "mirror is"),
]


@pytest.mark.parametrize("change", MENDED, ids="-".join)
async def test_altered_log_is_repaired(
    client: Client, js: JetStreamContext, caplog: pytest.LogCaptureFixture, change: dict[str, Any]
) -> None:
    """Whatever of the log can be set right is, by whoever sets it up; the warning names it."""
    await client.jetstream().add_stream(name=OTHER, subjects=["other.>"])
    config = LOG.config(1_793_358_001.0) | change
    await ask(client, Api().stream("CREATE", LOG.name), config)
    wrong = stream_flaws(await config_of(client, LOG.name), LOG)
    assert wrong
    assert not await ensure_stream(js)
    assert not stream_flaws(await config_of(client, LOG.name), LOG)
    assert "was repaired" in caplog.text
    assert all(words in caplog.text for words in wrong.values())
    caplog.clear()
    assert not await ensure_stream(js)
    assert not caplog.text


@pytest.mark.parametrize(("change", "said"), REFUSED, ids=[said for _, said in REFUSED])
async def test_log_that_cannot_be_repaired_is_refused(
    client: Client, js: JetStreamContext, change: dict[str, Any], said: str
) -> None:
    """A stream of another nature is left alone; the error names every field, and why."""
    await js.add_stream(name=OTHER, subjects=["other.>"])
    config = LOG.config(1_793_358_001.0) | change
    await ask(client, Api().stream("CREATE", LOG.name), config)
    before = await config_of(client, LOG.name)
    with pytest.raises(LogConfigurationError, match="It was not repaired") as refused:
        await ensure_stream(js)
    assert said in str(refused.value)
    assert await config_of(client, LOG.name) == before


async def test_sealed_stream_is_refused(client: Client, js: JetStreamContext) -> None:
    """A stream that takes nothing any more is no use, and cannot be opened again."""
    await ensure(js, WORK, wall=lambda: 0.0)
    config = await config_of(client, WORK.name) | {"sealed": True, "max_age": 0}
    await ask(client, Api().stream("UPDATE", WORK.name), config)
    with pytest.raises(LogConfigurationError, match="sealed is true, must be left out"):
        await ensure(js, WORK, wall=lambda: 0.0)


async def test_log_of_an_older_version_is_raised(client: Client, js: JetStreamContext) -> None:
    """A log from before it was republished keeps its events and goes on."""
    older = {**LOG.config(1_793_358_001.0), "duplicate_window": 120 * S}
    del older["republish"], older["allow_direct"]
    await ask(client, Api().stream("CREATE", LOG.name), older)
    seq = (await js.publish(LOG.subjects[0].replace(">", "shop"), b"{}")).seq
    assert not await ensure_stream(js)
    assert (await js.stream_info(LOG.name)).state.last_seq == seq
    assert not stream_flaws(await config_of(client, LOG.name), LOG)


async def test_what_the_operator_chose_stays(client: Client, js: JetStreamContext) -> None:
    """Bounds above ours, description, compression and labels are kept, also when it is repaired."""
    chosen = {
        "max_age": 30 * 86400 * S, "max_bytes": 2 << 30, "description": "ours",
        "compression": "s2", "metadata": {"team": "prices"}, "max_msg_size": 1 << 20,
    }  # fmt: skip
    await ask(client, Api().stream("CREATE", LOG.name), LOG.config(1_793_358_001.0) | chosen)
    assert not await ensure_stream(js)
    await ask(
        client,
        Api().stream("UPDATE", LOG.name),
        await config_of(client, LOG.name) | {"max_msgs": 9},
    )
    assert not await ensure_stream(js)
    found = await config_of(client, LOG.name)
    assert found["max_msgs"] == -1
    assert found["metadata"]["team"] == "prices"
    assert {field: found[field] for field in chosen if field != "metadata"} == {
        field: value for field, value in chosen.items() if field != "metadata"
    }


async def test_more_replicas_than_there_are_servers_is_said(js: JetStreamContext) -> None:
    """What the server refuses to change is an error in its own words."""
    await ensure_stream(js)
    with pytest.raises(LogConfigurationError, match=r"num_replicas is 1, must be >= 3.*repaired: "):
        await ensure_stream(js, replicas=3)


@pytest.mark.parametrize(
    "change",
    [{"max_age": 60 * S, "duplicate_window": S}, {"max_msgs": 10}, {"max_consumers": 1},
     {"subjects": ["cache.instances.v1.a"]}, {"max_msgs_per_subject": 2}, {"deny_delete": False,
     "sources": [{"name": OTHER}]}],
    ids="-".join,
)  # fmt: skip
async def test_stream_of_instances_that_may_lose_one_is_repaired(
    client: Client, js: JetStreamContext, change: dict[str, Any]
) -> None:
    """An instance that nobody knows of would be waited for by nobody."""
    spec = instances_spec()
    await js.add_stream(name=OTHER, subjects=["other.>"])
    await ask(client, Api().stream("CREATE", spec.name), spec.config(0) | change)
    assert stream_flaws(await config_of(client, spec.name), spec)
    await ensure_instances_stream(js)
    assert not stream_flaws(await config_of(client, spec.name), spec)


async def test_stream_of_instances_in_memory_is_refused(
    client: Client, js: JetStreamContext
) -> None:
    """What a restart would empty is told, with the field."""
    spec = instances_spec()
    await ask(client, Api().stream("CREATE", spec.name), spec.config(0) | {"storage": "memory"})
    with pytest.raises(LogConfigurationError, match="storage is memory, must be file"):
        await ensure_instances_stream(js)


CONSUMERS_MENDED: list[dict[str, Any]] = [
    {"filter_subject": "test.altered.v1"},
    {"filter_subjects": ["test.altered.v1"]},
    {"ack_wait": 3600 * S},
    {"max_ack_pending": 1},
    {"max_deliver": 1},
    {"headers_only": True},
    {"backoff": [S]},
    {"inactive_threshold": S},
    {"max_batch": 1},
    {"max_bytes": 1},
    {"max_expires": S},
    {"sample_freq": "100%"},
    {"priority_policy": "overflow", "priority_groups": ["a"]},
    {"pause_until": "2099-01-01T00:00:00Z"},
]
CONSUMERS_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"ack_policy": "all"}, "ack_policy is all, must be explicit"),
    ({"deliver_subject": "cache.marks.v1.api"}, "deliver_subject is cache.marks.v1.api, must be"),
    ({"replay_policy": "original"}, "replay_policy is original, must be instant"),
    ({"max_waiting": 1}, "max_waiting is 1, must be >= 512"),
    ({"mem_storage": True}, "mem_storage is true, must be left out"),
]


@pytest.fixture
async def link(steady_servers: Servers, js: JetStreamContext) -> AsyncIterator[Link]:
    """Give a link to a server with an empty stream of work."""
    await ensure(js, WORK, wall=lambda: 0.0)
    opened = Link(steady_servers.nats_url, name="test", timeout_s=5)
    yield opened
    await opened.close()


async def alter(client: Client, change: dict[str, Any]) -> None:
    """Create the consumer otherwise than it must be."""
    subject = Api().consumer("DURABLE.CREATE", CONSUMER.stream, CONSUMER.durable)
    config = CONSUMER.config() | change
    await ask(client, subject, {"stream_name": CONSUMER.stream, "config": config})


@pytest.mark.parametrize("change", CONSUMERS_MENDED, ids="-".join)
async def test_altered_consumer_is_repaired(
    client: Client, link: Link, caplog: pytest.LogCaptureFixture, change: dict[str, Any]
) -> None:
    """Work goes on as it must, from where it stood, whatever somebody made of the consumer."""
    await alter(client, {})
    await link.publish("test.altered.v1", b"first")
    [first] = await PullConsumer(link, CONSUMER).fetch(1, 5.0)
    await first.ack()
    await alter(client, change)
    if "pause_until" in change:
        subject = Api().consumer("PAUSE", CONSUMER.stream, CONSUMER.durable)
        await ask(client, subject, change)
    await link.publish("test.altered.v1", b"second")
    [second] = await PullConsumer(link, CONSUMER).fetch(10, 5.0)
    assert second.body == b"second"
    assert "was repaired" in caplog.text
    caplog.clear()
    await ensure_consumer(link, CONSUMER)
    assert not caplog.text


@pytest.mark.parametrize(
    ("change", "said"), CONSUMERS_REFUSED, ids=[s for _, s in CONSUMERS_REFUSED]
)
async def test_consumer_that_cannot_be_repaired_is_refused(
    client: Client, link: Link, change: dict[str, Any], said: str
) -> None:
    """Nothing is worked on by a consumer that hands out otherwise; the error says what to do."""
    await alter(client, change)
    with pytest.raises(LogConfigurationError, match="Delete it") as refused:
        await PullConsumer(link, CONSUMER).fetch(1, 0.1)
    assert said in str(refused.value)


async def test_consumer_that_is_altered_under_way_is_repaired(
    client: Client, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that somebody sets while work goes on does not stop it for good."""
    monkeypatch.setattr(consumer_module, "CONSUMER_CHECK_S", 0.0)
    worker = PullConsumer(link, CONSUMER)
    assert await worker.fetch(1, 0.01) == []
    await alter(client, {"filter_subject": "nothing"})
    await link.publish("test.altered.v1", b"x")
    [delivery] = await worker.fetch(1, 5.0)
    assert delivery.body == b"x"


async def test_consumer_of_another_account_is_left_to_it(client: Client, link: Link) -> None:
    """Where another owns the consumer, it is neither created nor altered, and its absence told."""
    foreign = PullConsumer(link, CONSUMER, foreign=True)
    with pytest.raises(LogUnavailableError, match="the consumer worker is gone"):
        await foreign.fetch(1, 0.1)
    await alter(client, {"ack_wait": 7 * S})
    await link.publish("test.altered.v1", b"x")
    [delivery] = await foreign.fetch(1, 5.0)
    assert delivery.body == b"x"
    await delivery.ack()
    subject = Api().consumer("INFO", CONSUMER.stream, CONSUMER.durable)
    assert (await ask(client, subject))["config"]["ack_wait"] == 7 * S

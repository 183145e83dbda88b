"""What a thief of each NATS password can and cannot do; `docs/identity.md` names these tests.

The users `test-pages`, `test-work` and `test-shop` stand for a thief whom permissions do not bind
either: NATS checks none on the subjects of answers and deliveries, so what must hold holds by
accounts alone.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from asgi_isr.events import STREAM
from asgi_isr.logs.nats import close, connect, ensure_instances_stream, ensure_stream
from asgi_isr.testing import eventually
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.api import AckPolicy, ConsumerConfig
from perfcheck_embedded import Servers

INSTANCES, RECEIPTS, LETTERS = "CACHE_INSTANCES", "CACHE_RECEIPTS", "CACHE_DEAD_LETTERS"
WORKER = "revalidator"
LETTER = "cache.dead-letters.v1.shop"
FORGED = {
    "Nats-Sequence": "900000000",
    "Nats-Subject": "cache.marks.v1.api",
    "Cache-Sequence": "900000000",
}
EVERYTHING = b'{"paths":["*"]}'
# Where an answer or a delivery could do harm: subjects of ours, and of JetStream's API.
TARGETS = (
    "cache.marks.v1.api",
    "cache.marks.v1.other",
    "cache.invalidations.v1.api",
    "cache.invalidations.v1.cli",
    "cache.log.v1.cache.marks.v1.api",
    "cache.mark-requests.v1",
    "cache.instances.v1.bff-1",
    f"$JS.API.STREAM.PURGE.{STREAM}",
    f"$JS.API.STREAM.DELETE.{STREAM}",
    f"$JS.API.CONSUMER.DELETE.{STREAM}.{WORKER}",
    f"$JS.ACK.{STREAM}.other.1.1.1.1.0",
)


class World:
    """What everybody sees: the api's account, and a page server that hears the log."""

    def __init__(self, clients: dict[str, Client]) -> None:
        self.clients = clients
        self.heard: list[Msg] = []

    async def hear(self) -> None:
        """Hear the log as a page server does."""

        async def note(message: Msg) -> None:
            self.heard.append(message)

        await self.clients["reader"].subscribe("cache.log.v1.>", cb=note)
        await self.clients["reader"].flush()

    def forged(self) -> list[Msg]:
        """Return what a page server would take for a message of the log that stands nowhere."""
        return [
            message
            for message in self.heard
            if (message.headers or {}).get("Nats-Sequence") == FORGED["Nats-Sequence"]
        ]

    async def state(self) -> dict[str, Any]:
        """Return the configuration of every stream and consumer of the api's, and how far each is.

        Who asked last has been answered: everything before that was done.
        """
        for client in self.clients.values():
            await client.flush()
        found: dict[str, Any] = {}
        for name in (STREAM, INSTANCES, RECEIPTS):
            info = await self._ask(f"$JS.API.STREAM.INFO.{name}")
            found[name] = (info["config"], info["state"]["last_seq"], info["state"]["messages"])
            consumers = (await self._ask(f"$JS.API.CONSUMER.LIST.{name}"))["consumers"]
            found[f"{name} consumers"] = [
                (each["config"], each["ack_floor"], each["delivered"]) for each in consumers
            ]
        return found

    async def _ask(self, subject: str) -> Any:
        return json.loads((await self.clients["test"].request(subject, timeout=5)).data)


async def tell(client: Client, subject: str, body: bytes, reply: str = "") -> None:
    """Publish as a thief does, with forged fields; the server may refuse it."""
    await client.publish(subject, body, reply=reply, headers=FORGED)


async def asked(client: Client, subject: str, body: Any) -> None:
    """Ask, and let it be refused or left unanswered."""
    with suppress(NatsError, TimeoutError):
        await client.request(subject, json.dumps(body).encode(), timeout=0.05)


@pytest.fixture
async def world(running: Servers) -> AsyncIterator[World]:
    """Give the streams and the consumer as the api makes them, and a connection of each user."""
    urls = {**running.nats_urls, "reader": running.nats_urls["frontend-bff"]}
    async with AsyncExitStack() as stack:
        clients: dict[str, Client] = {}
        for name, url in urls.items():
            clients[name] = await connect(url, name=name, timeout_s=10)
            stack.push_async_callback(close, clients[name])
        for owner in ("test", "test-work"):
            for name in await _streams(clients[owner]):
                await clients[owner].jetstream().delete_stream(name)
        await _set_up(clients["test"])
        await clients["revalidator"].jetstream().add_stream(name=LETTERS, subjects=[LETTER])
        await tell(clients["revalidator"], LETTER, EVERYTHING)
        given = World(clients)
        await given.hear()
        yield given


async def _set_up(client: Client) -> None:
    js = client.jetstream()
    await ensure_stream(js)
    await ensure_instances_stream(js)
    await js.add_stream(name=RECEIPTS, subjects=["cache.receipts.v1"], retention="workqueue")
    worker = ConsumerConfig(
        durable_name=WORKER, ack_policy=AckPolicy.EXPLICIT, filter_subject="cache.invalidations.>"
    )
    await js.add_consumer(STREAM, worker)
    for _ in range(3):
        await js.publish("cache.invalidations.v1.cli", b'{"tags":["a"]}')


async def _streams(client: Client) -> Sequence[str]:
    return [str(info.config.name) for info in await client.jetstream().streams_info()]


@pytest.mark.parametrize("thief", ["revalidator", "test-work"])
async def test_a_dead_letter_is_not_delivered_into_the_log(world: World, thief: str) -> None:
    """Whatever subject its own streams and consumers name: no invalidation, mark or number."""
    before, client = await world.state(), world.clients[thief]
    for number, target in enumerate((*TARGETS, "cache.invalidations.v1.shop")):
        config = {"durable_name": f"e{number}", "ack_policy": "none", "deliver_subject": target}
        body = {"stream_name": LETTERS, "config": {**config, "name": f"e{number}"}}
        await asked(client, f"$JS.API.CONSUMER.CREATE.{LETTERS}.e{number}", body)
        await asked(client, f"$JS.API.CONSUMER.DURABLE.CREATE.{LETTERS}.e{number}", body)
        await tell(client, f"$JS.API.STREAM.MSG.GET.{LETTERS}", b'{"seq":1}', target)
        await tell(client, f"$JS.API.DIRECT.GET.{LETTERS}", b'{"seq":1}', target)
        await tell(client, LETTER, EVERYTHING, target)
    assert await world.state() == before
    assert not world.forged()


@pytest.mark.parametrize("thief", ["revalidator", "test-work"])
async def test_a_stream_of_the_revalidators_speaks_to_nobody(world: World, thief: str) -> None:
    """Republished, transformed, sourced, mirrored, saved and restored, all stays in its account."""
    before, client = await world.state(), world.clients[thief]
    source = {"name": STREAM, "external": {"api": "log.api", "deliver": "cache.marks.v1"}}
    for target in TARGETS:
        wide = target.replace("$JS.API", "$JS.API.")
        for changed in (
            {"republish": {"src": ">", "dest": target}},
            {"subject_transform": {"src": LETTER, "dest": target}},
            {"subjects": [LETTER], "sources": [source]},
            {"subjects": [LETTER, target]},
            {"subjects": [wide]},
        ):
            config = {"name": LETTERS, "subjects": [LETTER], "storage": "file", **changed}
            await asked(client, f"$JS.API.STREAM.UPDATE.{LETTERS}", config)
            await tell(client, LETTER, EVERYTHING, target)
            await tell(client, target, EVERYTHING)
        for verb, saved in (("SNAPSHOT", {"deliver_subject": target}), ("RESTORE", {})):
            await asked(client, f"$JS.API.STREAM.{verb}.{LETTERS}", saved)
    await asked(client, f"$JS.API.STREAM.DELETE.{LETTERS}", {})
    for mirrored in ({"mirror": source}, {"sources": [source]}, {"name": STREAM, "subjects": []}):
        config = {"name": LETTERS, "storage": "file", **mirrored}
        await asked(client, f"$JS.API.STREAM.CREATE.{config['name']}", config)
        await asked(client, f"$JS.API.STREAM.DELETE.{config['name']}", {})
    assert await world.state() == before
    assert not world.forged()


@pytest.mark.parametrize("thief", ["frontend-bff", "test-pages", "revalidator", "test-work"])
async def test_nobody_changes_the_consumer_of_the_work_or_the_log(world: World, thief: str) -> None:
    """Filter, deliveries, pause, position: neither by JetStream's API nor by what is exported."""
    before, client = await world.state(), world.clients[thief]
    consumer = {"durable_name": WORKER, "name": WORKER, "ack_policy": "explicit"}
    stolen = {"durable_name": "x", "name": "x", "ack_policy": "none"}
    stream = {"name": STREAM, "subjects": ["cache.marks.v1.>"], "storage": "file"}
    asked_for: list[tuple[str, Any]] = [
        *(
            (f"CONSUMER.{verb}.{STREAM}.{WORKER}", {"stream_name": STREAM, "config": config})
            for verb in ("CREATE", "DURABLE.CREATE")
            for config in (
                {**consumer, "filter_subject": "cache.nothing"},
                {**consumer, "deliver_subject": "cache.marks.v1.api"},
            )
        ),
        *(
            (subject, {"stream_name": STREAM, "config": {**stolen, "deliver_subject": target}})
            for target in TARGETS
            for subject in (
                f"CONSUMER.CREATE.{STREAM}",
                f"CONSUMER.CREATE.{STREAM}.x",
                f"CONSUMER.DURABLE.CREATE.{STREAM}.x",
            )
        ),
        (f"CONSUMER.DELETE.{STREAM}.{WORKER}", {}),
        (f"CONSUMER.PAUSE.{STREAM}.{WORKER}", {"pause_until": "2099-01-01T00:00:00Z"}),
        (f"CONSUMER.RESET.{STREAM}.{WORKER}", {"seq": 1}),
        (f"CONSUMER.UNPIN.{STREAM}.{WORKER}", {"group": "a"}),
        (f"STREAM.UPDATE.{STREAM}", stream),
        (f"STREAM.CREATE.{STREAM}", stream),
        *((f"STREAM.{verb}.{STREAM}", {}) for verb in ("PURGE", "DELETE", "RESTORE")),
        (f"STREAM.SNAPSHOT.{STREAM}", {"deliver_subject": "cache.marks.v1.api"}),
        (f"STREAM.MSG.DELETE.{STREAM}", {"seq": 1}),
    ]
    if thief in {"frontend-bff", "test-pages"}:
        asked_for.append((f"CONSUMER.MSG.NEXT.{STREAM}.{WORKER}", {"batch": 9, "no_wait": True}))
    for verb, body in asked_for:
        for prefix in ("$JS.API", "log.api"):
            await tell(client, f"{prefix}.{verb}", json.dumps(body).encode(), client.new_inbox())
            await tell(client, f"{prefix}.{verb}", json.dumps(body).encode())
    assert await world.state() == before
    assert not world.forged()


async def test_page_servers_do_not_speak_to_each_other_as_the_log(world: World) -> None:
    """Neither directly nor by having something answered there, with forged fields in the question.

    What comes so is a message that stands in the log, or one without a sequence.
    """
    before, client = await world.state(), world.clients["frontend-bff"]
    for target in TARGETS:
        await tell(client, target if "instances" not in target else "x", EVERYTHING)
        for question, body in (
            ("cache.mark-requests.v1", b""),
            (f"log.api.STREAM.INFO.{STREAM}", b""),
            (f"log.api.STREAM.MSG.GET.{STREAM}", b'{"last_by_subj":">"}'),
            (f"log.api.DIRECT.GET.{STREAM}", b'{"batch":9,"seq":1}'),
            (f"log.api.DIRECT.GET.{INSTANCES}", b'{"batch":9,"seq":1}'),
            (f"log.api.CONSUMER.MSG.NEXT.{STREAM}.{WORKER}", b"1"),
        ):
            await tell(client, question, body, target)
    after = await world.state()
    assert {**after, INSTANCES: before[INSTANCES]} == before
    assert not world.forged()


@pytest.mark.parametrize("thief", ["shop", "test-shop"])
async def test_a_publishers_acknowledgement_lands_in_no_stream(world: World, thief: str) -> None:
    """Whatever it names for the answer, or for a trace, it speaks under its own name alone."""
    before, client = await world.state(), world.clients[thief]
    last = before[STREAM][1]
    targets = (*TARGETS, "cache.receipts.v1", "cache.positions.v1.bff-1", LETTER)
    for target in targets:
        await tell(client, "cache.invalidations.v1.shop", EVERYTHING, target)
        traced = {"Nats-Trace-Dest": target, "Nats-Trace-Only": "1"}
        await client.publish("cache.invalidations.v1.shop", EVERYTHING, headers=traced)
        await tell(client, target, EVERYTHING)
        await tell(client, f"$JS.API.STREAM.INFO.{STREAM}", b"", target)
    after = await world.state()
    said = len([target for target in targets if not target.startswith("$JS.ACK")])  # refused
    assert after[STREAM][1] == last + said
    assert {**after, STREAM: before[STREAM]} == before
    js = world.clients["test"].jetstream()
    for seq in range(last + 1, last + said + 1):
        assert (await js.get_msg(STREAM, seq=seq)).subject == "cache.invalidations.v1.shop"

    def all_heard() -> bool:
        return len(world.heard) >= said

    await eventually(all_heard)
    assert len(world.heard) == said
    assert not world.forged()


async def test_a_publisher_hears_nothing_and_asks_nobody(world: World) -> None:
    """The log, the live set and JetStream are not in its account."""
    client, got = world.clients["shop"], []

    async def note(message: Msg) -> None:
        got.append(message)

    for subject in ("cache.log.v1.>", "cache.instances.v1.>", "_INBOX.other.>"):
        await client.subscribe(subject, cb=note)
    await client.flush()
    await world.clients["test"].jetstream().publish("cache.invalidations.v1.cli", b"{}")
    await world.clients["test"].publish("_INBOX.other.1", b"an answer")
    await world.state()
    assert not got
    with pytest.raises((NoRespondersError, TimeoutError)):
        await client.request("cache.mark-requests.v1", b"", timeout=0.2)


async def test_a_thief_of_the_revalidator_takes_its_work_and_forges_receipts(world: World) -> None:
    """That is what its password allows; its streams stay within their bounds."""
    client = world.clients["revalidator"]
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    ask = f"log.api.CONSUMER.MSG.NEXT.{STREAM}.{WORKER}"
    await client.publish(ask, b'{"batch":1}', reply=inbox)
    taken = await subscription.next_msg(timeout=5)
    assert taken.subject == "cache.invalidations.v1.cli"
    await client.publish(taken.reply, b"")
    ack = json.loads((await client.request("cache.receipts.v1", b"false", timeout=5)).data)
    assert ack["stream"] == RECEIPTS
    work = world.clients["test-work"].jetstream()
    with pytest.raises(NatsError, match="maximum number of streams"):
        await work.add_stream(name="OTHER", subjects=["other"])
    with pytest.raises(NatsError, match="insufficient storage"):
        await work.update_stream(name=LETTERS, subjects=[LETTER], max_bytes=1 << 28)


async def test_a_thief_of_the_page_servers_speaks_for_instances(world: World) -> None:
    """It can register any instance, also as leaving: page servers share a password."""
    client = world.clients["frontend-bff"]
    ack = json.loads((await client.request("cache.instances.v1.bff-1", b"{}", timeout=5)).data)
    assert ack["stream"] == INSTANCES


async def test_both_observers_hear_what_page_servers_tell(world: World) -> None:
    """The api in the log's account, the revalidator in its own."""
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def listen(name: str, *prefixes: str) -> None:
        async def note(message: Msg) -> None:
            heard.put_nowait((name, message.subject))

        for prefix in prefixes:
            await world.clients[name].subscribe(f"{prefix}.>", cb=note)
        await world.clients[name].flush()

    both = ("cache.instances.v1", "cache.positions.v1")
    await listen("api", *both)
    await listen("revalidator", *both, "cache.popular.v1")
    for prefix in (*both, "cache.popular.v1"):
        await world.clients["frontend-bff"].publish(f"{prefix}.bff-1", b"{}")
    async with asyncio.timeout(10):
        found = {await heard.get() for _ in range(5)}
    assert found == {
        *(("api", f"{prefix}.bff-1") for prefix in both),
        *(("revalidator", f"{prefix}.bff-1") for prefix in (*both, "cache.popular.v1")),
    }

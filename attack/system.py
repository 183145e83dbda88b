"""NATS as the services leave it: accounts, streams and consumers, and something in each of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from asgi_isr.events import MARK_SUBJECT_PREFIX, SEQUENCE_HEADER, STREAM, SUBJECT_PREFIX, mark_body
from asgi_isr.nats import Link, PullConsumer, close, connect, ensure_stream
from asgi_isr.ports import SystemClock
from asgi_isr.reports import INSTANCES_SUBJECT_PREFIX
from nats.aio.client import Client
from nats.aio.msg import Msg
from perfcheck_api.outbox.broker import Broker, connected
from perfcheck_api.receipts.intake import CONSUMER_SPEC, STREAM_SPEC
from perfcheck_chassis.process import background_tasks
from perfcheck_contracts import (
    DEAD_LETTER_SUBJECT_PREFIX,
    EVENT_CONSUMERS,
    LOG_API,
    RECEIPTS_STREAM,
    RECEIPTS_SUBJECT,
)
from perfcheck_embedded import servers
from perfcheck_revalidator.work.dead_letters import DeadLetters

API, BFF, REVALIDATOR, PUBLISHERS = "api", "frontend-bff", "revalidator", ("cli", "shop")
CREDENTIALS = (API, BFF, REVALIDATOR, *PUBLISHERS)
OWNERS = {"LOG": "test", "PAGES": "test-pages", "WORK": "test-work"}
_CONNECT_S = 30.0
_ANSWER_S = 10.0

Accounts = dict[str, Any]  # as NATS's configuration names them


class System(NamedTuple):
    """What is attacked.

    `owners` may do everything in one account each; `victims` are those to whom the credentials
    belong; `acks` acknowledge what was handed out, by consumer.
    """

    urls: Mapping[str, str]
    accounts: Accounts
    owners: Mapping[str, Client]
    victims: Mapping[str, Client]
    acks: Mapping[str, str]


@asynccontextmanager
async def system(plant: Callable[[Accounts], None] | None = None) -> AsyncIterator[System]:
    """Start NATS and fill it; `plant` changes its accounts before anybody attacks."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(servers(postgres=False, valkey=False))
        acks = await _fill(running.nats_urls)
        file = running.directory / "nats" / "nats.conf"
        configuration = json.loads(file.read_text())
        if plant is not None:
            plant(configuration["accounts"])
            file.write_text(json.dumps(configuration, ensure_ascii=False))
            await running.stop("nats")
            await running.restart("nats")

        async def opened(user: str) -> Client:
            client = await connect(running.nats_urls[user], name=user, timeout_s=_CONNECT_S)
            stack.push_async_callback(close, client)
            return client

        found = System(
            urls=running.nats_urls,
            accounts=configuration["accounts"],
            owners={account: await opened(user) for account, user in OWNERS.items()},
            victims={user: await opened(user) for user in CREDENTIALS},
            acks=acks,
        )
        broker = await stack.enter_async_context(connected(found.urls[API], name=API))
        await stack.enter_async_context(background_tasks(marks=_answer_mark_requests(broker)))
        yield found


async def _answer_mark_requests(broker: Broker) -> None:
    """Answer as the api does, though no mark was made."""
    asked: asyncio.Queue[str] = asyncio.Queue()
    await broker.listen_for_mark_requests(asked.put_nowait)
    while True:
        await broker.reply([await asked.get()], b'{"seq":1,"id":"no mark"}')


async def collect(client: Client, subject: str, body: bytes, count: int) -> list[Msg]:
    """Return `count` answers to one request."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(subject, body, reply=inbox)
    try:
        return [await subscription.next_msg(timeout=_ANSWER_S) for _ in range(count)]
    finally:
        await subscription.unsubscribe()


async def _fill(urls: Mapping[str, str]) -> dict[str, str]:
    """Have every service set up what it keeps; put something into all of it.

    One message of each consumer is acknowledged and one is not; return what would do that.
    """
    links = {user: Link(urls[user], name=user, timeout_s=_CONNECT_S) for user in CREDENTIALS}
    clock = SystemClock()
    try:
        async with connected(urls[API], name=API) as broker:
            await broker.ensure_log()
            await broker.ensure_consumers()
        api, worker = await links[API].client(), await links[REVALIDATOR].client()
        await ensure_stream(api.jetstream(), STREAM_SPEC, wall=clock.wall)
        await PullConsumer(links[API], CONSUMER_SPEC).fetch(1, 0.1)  # sets it up
        await DeadLetters(links[REVALIDATOR], clock).outlet.ensure()
        for each in (API, *PUBLISHERS):
            for _ in range(2):
                await links[each].publish(f"{SUBJECT_PREFIX}.{each}", b'{"paths":["/a"]}')
        mark = f"{MARK_SUBJECT_PREFIX}.{API}"
        await links[API].publish(mark, mark_body("m"), {SEQUENCE_HEADER: "7"})
        await links[BFF].publish(f"{INSTANCES_SUBJECT_PREFIX}.victim", b"{}")
        for subject in (RECEIPTS_SUBJECT, f"{DEAD_LETTER_SUBJECT_PREFIX}.shop"):
            for _ in range(2):
                await links[REVALIDATOR].publish(subject, b"{}")
        next_of = {
            each.durable: (worker, f"{LOG_API}.CONSUMER.MSG.NEXT.{STREAM}.{each.durable}")
            for each in EVENT_CONSUMERS
        }
        next_of[CONSUMER_SPEC.durable] = (
            api,
            f"$JS.API.CONSUMER.MSG.NEXT.{RECEIPTS_STREAM}.{CONSUMER_SPEC.durable}",
        )
        acks = {}
        for durable, (client, subject) in next_of.items():
            first, second = await collect(client, subject, b'{"batch":2}', 2)
            await client.request(first.reply, b"+ACK", timeout=_ANSWER_S)
            acks[durable] = second.reply
        return acks
    finally:
        for link in links.values():
            await link.close()

"""Observing the live set over real NATS: registrations, reports, restarts, lies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from asgi_isr import CacheSettings, PageCache
from asgi_isr.coherence import Reached
from asgi_isr.logs.nats import Instances, NatsLog, ensure_instances_stream, ensure_stream
from asgi_isr.reports import (
    INSTANCES_STREAM,
    INSTANCES_SUBJECT_PREFIX,
    POSITIONS_SUBJECT_PREFIX,
    Report,
)
from asgi_isr.testing import eventually
from nats.js.errors import NotFoundError

TIMEOUT_S = 10.0


@asynccontextmanager
async def observing(url: str) -> AsyncIterator[Instances]:
    """Run an observer until the block is left."""
    observer = Instances(url, name="observer")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(observer.run())
        try:
            yield observer
        finally:
            task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    await eventually(holds, timeout_s=TIMEOUT_S)


async def complete(observer: Instances) -> None:
    """Wait until the observer knows the live set."""

    async def known() -> bool:
        return await observer.unhealthy_reason() is None

    await eventually(known, timeout_s=TIMEOUT_S)


@pytest.fixture
async def streams(js: Any) -> Any:
    """Give JetStream with an empty log and no registrations."""
    with suppress(NotFoundError):
        await js.delete_stream(INSTANCES_STREAM)
    await ensure_stream(js)
    await ensure_instances_stream(js)
    return js


def names(observer: Instances) -> set[str]:
    """Return whom the observer takes for live, as they were called in their settings."""
    return {called(report.instance) for report in observer.reports()}


def called(name: str) -> str:
    """Return the name of an instance without that of its life."""
    return name.split("-", maxsplit=1)[0]


def settings(instance: str) -> CacheSettings:
    """Return settings of an instance that registers often."""
    return CacheSettings(instance=instance, lease_s=2.0)


async def test_event_is_seen_applied_by_every_instance(
    streams: Any, steady_servers: Any, new_log: Any
) -> None:
    """An observer hears within its wait when each instance has applied an event, and when."""
    url = steady_servers.nats_url
    logs = [new_log(url, publish_marks=True) for _ in range(2)]
    async with (
        observing(url) as observer,
        PageCache(settings("one"), log=logs[0]),
        PageCache(settings("two"), log=logs[1]),
    ):
        await until(lambda: names(observer) == {"one", "two"})
        ack = await streams.publish("cache.invalidations.v1.shop", b'{"tags":["a"]}')
        applied = await observer.wait(Reached("", ack.seq), TIMEOUT_S)
        assert applied.everywhere
        assert set(map(called, applied.times)) == {"one", "two"}
        late = await observer.wait(Reached("", ack.seq + 1_000_000), 0.05)
        assert set(map(called, late.missing)) == {"one", "two"}
        assert not late.everywhere
    assert not names(observer) - {"one", "two"}


async def test_numbers_of_a_source_are_seen(
    streams: Any, steady_servers: Any, new_log: Any
) -> None:
    """The header that counts a source's events moves the number that its instances report."""
    url = steady_servers.nats_url
    async with (
        observing(url) as observer,
        PageCache(settings("one"), log=new_log(url, publish_marks=True)),
    ):
        await until(lambda: names(observer) == {"one"})
        await streams.publish(
            "cache.invalidations.v1.api", b'{"tags":["a"]}', headers={"Cache-Sequence": "7"}
        )
        assert (await observer.wait(Reached("api", 7), TIMEOUT_S)).everywhere
        assert not observer.applied(Reached("api", 8)).everywhere
        assert not observer.applied(Reached("shop", 1)).everywhere


@pytest.mark.usefixtures("streams")
async def test_new_observer_knows_who_registered_before(steady_servers: Any, new_log: Any) -> None:
    """An observer that starts later waits for instances that it has never heard."""
    url = steady_servers.nats_url
    log: NatsLog = new_log(url, publish_marks=True)
    await log.register(Report(instance="silent", position=1, lease_s=1.0))
    async with observing(url) as observer:
        await complete(observer)
        assert names(observer) == {"silent"}
        applied = await observer.wait(Reached("", 2), TIMEOUT_S)
        assert applied.everywhere
        assert applied.vanished == ("silent",)


@pytest.mark.usefixtures("streams")
async def test_leaving_instance_ends_the_wait(steady_servers: Any, new_log: Any) -> None:
    """An instance that stops in order is not waited for, nor known to a later observer."""
    url = steady_servers.nats_url
    async with observing(url) as observer:
        async with PageCache(settings("one"), log=new_log(url, publish_marks=True)):
            await until(lambda: names(observer) == {"one"})
        await until(lambda: names(observer) == set())
    async with observing(url) as later:
        await complete(later)
        assert names(later) == set()


async def test_nothing_is_certain_while_the_connection_is_down(
    nats_server: Any, new_log: Any, new_client: Any
) -> None:
    """While the broker is away nothing counts as applied everywhere; afterwards it does again."""
    url = nats_server.nats_url
    js = (await new_client(url)).jetstream()
    await ensure_stream(js)
    await ensure_instances_stream(js)
    log = new_log(url, publish_marks=True)
    async with (
        observing(url) as observer,
        PageCache(CacheSettings(instance="one", lease_s=10), log=log) as cache,
    ):
        await until(lambda: names(observer) == {"one"})
        position = cache.session.follower.position or 0
        await until(lambda: observer.applied(Reached("", position)).everywhere)
        await nats_server.kill("nats")
        await until(lambda: not observer.applied(Reached("", position)).everywhere)
        assert await observer.unhealthy_reason() is not None
        await nats_server.restart("nats")
        applied = await observer.wait(Reached("", position), TIMEOUT_S)
        assert applied.everywhere
        assert set(map(called, applied.times)) == {"one"}


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (f"{POSITIONS_SUBJECT_PREFIX}.liar", b'{"instance":"one","position":9,"lease_s":1}'),
        (f"{POSITIONS_SUBJECT_PREFIX}.liar", b"not json"),
        (f"{POSITIONS_SUBJECT_PREFIX}.a.liar", b'{"instance":"liar","position":9,"lease_s":1}'),
        (f"{INSTANCES_SUBJECT_PREFIX}.liar", b'{"instance":"liar"}'),
        (f"{INSTANCES_SUBJECT_PREFIX}.liar", b'{"instance":"liar","position":-1,"lease_s":1}'),
    ],
    ids=["another's name", "no JSON", "deeper name", "half", "negative"],
)
async def test_lies_and_rubbish_are_ignored(
    streams: Any, steady_servers: Any, subject: str, body: bytes
) -> None:
    """A report that is none, or speaks for another instance, changes nothing; also when stored."""
    url = steady_servers.nats_url
    if subject.startswith(INSTANCES_SUBJECT_PREFIX):
        await streams.publish(subject, body)
    async with observing(url) as observer:
        await complete(observer)
        ignored = observer._live.ignored
        await streams._nc.publish(subject, body)
        await until(lambda: observer._live.ignored > ignored)
        assert names(observer) == set()


async def test_missing_stream_is_waited_for(js: Any, steady_servers: Any) -> None:
    """Without the stream of registrations the observer says so, and goes on once it is there."""
    with suppress(NotFoundError):
        await js.delete_stream(INSTANCES_STREAM)
    async with observing(steady_servers.nats_url) as observer:

        async def told() -> bool:
            return "not found" in str(await observer.unhealthy_reason())

        await eventually(told, timeout_s=TIMEOUT_S)
        await ensure_instances_stream(js)
        await complete(observer)


async def test_silence_of_the_own_link_ends_nobodys_lease(
    nats_server: Any, new_log: Any, new_client: Any
) -> None:
    """An observer whose broker is frozen for longer than the leases declares nobody gone."""
    url = nats_server.nats_url
    js = (await new_client(url)).jetstream()
    await ensure_stream(js)
    await ensure_instances_stream(js)
    log: NatsLog = new_log(url, publish_marks=True)
    async with observing(url) as observer:
        await complete(observer)
        await log.register(Report(instance="one", position=1, lease_s=0.2))
        await until(lambda: names(observer) == {"one"})
        await nats_server.pause("nats")
        try:
            applied = await observer.wait(Reached("", 2), 1.2 + 0.2 + 0.5)
            assert not applied.everywhere
            assert names(observer) == {"one"}
        finally:
            await nats_server.resume("nats")
        applied = await observer.wait(Reached("", 2), TIMEOUT_S)
        assert applied.everywhere
        assert applied.vanished == ("one",)

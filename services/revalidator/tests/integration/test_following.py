import asyncio

import pytest
from asgi_isr import Invalidation
from asgi_isr.coherence import Snapshot, read_snapshot
from asgi_isr.errors import LogUnavailableError
from asgi_isr.logs.nats import NatsLog
from asgi_isr.stores.redis import RedisStore
from asgi_isr.testing import eventually
from litestar import Litestar
from litestar.testing import AsyncTestClient
from perfcheck_embedded import Servers
from perfcheck_revalidator.app import create_app
from perfcheck_revalidator.settings import Settings

pytestmark = pytest.mark.integration

Client = AsyncTestClient[Litestar]


async def has_status(client: Client, status: str) -> bool:
    """Say whether health reports `status`."""
    return bool((await client.get("/api/health")).json()["status"] == status)


async def snapshot_at(store: RedisStore, position: int) -> Snapshot:
    """Wait for the stored snapshot to reach `position`."""

    async def reached() -> Snapshot | None:
        snapshot = await read_snapshot(store, "isr")
        return snapshot if snapshot is not None and snapshot.position >= position else None

    return await eventually(reached, timeout_s=15)


async def test_snapshots_follow_the_log(
    settings: Settings, publisher: NatsLog, store: RedisStore
) -> None:
    """Events that are published appear in the stored snapshot, under their sequence."""
    async with AsyncTestClient(create_app(settings)) as client:
        await eventually(lambda: has_status(client, "pass"), timeout_s=15)
        first = await publisher.publish(Invalidation(tags=("currency:usd",)))
        second = await publisher.publish(Invalidation(tags=("day:2026-10-30",), mode="soft"))
        snapshot = await snapshot_at(store, second)
        assert snapshot.hard["currency:usd"] == first
        assert snapshot.soft["day:2026-10-30"] == second


async def test_last_position_is_written_at_the_end(
    settings: Settings, publisher: NatsLog, store: RedisStore
) -> None:
    """What was consumed since the last interval is written when the service stops."""
    patient = Settings(
        nats_url=settings.nats_url, valkey_url=settings.valkey_url, snapshot_interval_s=3600
    )
    app = create_app(patient)
    async with AsyncTestClient(app) as client:
        await eventually(lambda: has_status(client, "pass"), timeout_s=15)
        seq = await publisher.publish(Invalidation(tags=("a",)))
        assert await app.state.follower.wait_for(seq, 5)
        assert await read_snapshot(store, "isr") is None
    snapshot = await read_snapshot(store, "isr")
    assert snapshot is not None
    assert snapshot.position == seq


async def test_restart_goes_on_from_the_snapshot(
    settings: Settings, publisher: NatsLog, store: RedisStore
) -> None:
    """A new revalidator takes over the tags of the old one, and what came in between."""
    async with AsyncTestClient(create_app(settings)) as client:
        await eventually(lambda: has_status(client, "pass"), timeout_s=15)
        first = await publisher.publish(Invalidation(tags=("a",)))
        before = await snapshot_at(store, first)
    second = await publisher.publish(Invalidation(tags=("b",)))
    async with AsyncTestClient(create_app(settings)):
        snapshot = await snapshot_at(store, second)
    assert snapshot.hard["a"] == first
    assert snapshot.hard["b"] == second
    assert snapshot.base == before.base


async def test_two_replicas_agree(
    settings: Settings, publisher: NatsLog, store: RedisStore
) -> None:
    """Two at once keep one snapshot, whose position never goes back."""
    async with (
        AsyncTestClient(create_app(settings)) as one,
        AsyncTestClient(create_app(settings)) as two,
    ):
        await eventually(lambda: has_status(one, "pass"))
        await eventually(lambda: has_status(two, "pass"))
        positions: list[int] = []
        for number in range(20):
            await publisher.publish(Invalidation(tags=(f"tag:{number}",)))
            await asyncio.sleep(0.02)
            if snapshot := await read_snapshot(store, "isr"):
                positions.append(snapshot.position)
        last = await publisher.publish(Invalidation(tags=("end",)))
        assert (await snapshot_at(store, last)).hard["end"] == last
    assert positions == sorted(positions)


async def test_lost_broker_is_told_and_found_again(
    settings: Settings, running: Servers, publisher: NatsLog, store: RedisStore
) -> None:
    """While NATS is down health fails by its name; afterwards following goes on without a gap."""
    async with AsyncTestClient(create_app(settings)) as client:
        await eventually(lambda: has_status(client, "pass"), timeout_s=15)
        first = await publisher.publish(Invalidation(tags=("a",)))
        await snapshot_at(store, first)
        await running.kill("nats")
        await eventually(lambda: has_status(client, "fail"), timeout_s=15)
        report = (await client.get("/api/health")).json()
        assert report["checks"]["log"]["detail"]
        assert report["checks"]["store"]["status"] == "pass"
        assert (await client.get("/api/health/live")).status_code == 200
        await running.restart("nats")
        await eventually(lambda: has_status(client, "pass"), timeout_s=15)
        second = await eventually(  # its own connection may come back a little later
            lambda: publisher.publish(Invalidation(tags=("b",))),
            timeout_s=15,
            ignoring=(LogUnavailableError,),
        )
        snapshot = await snapshot_at(store, second)
        assert snapshot.hard["a"] == first


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_lost_store_is_told_and_found_again(
    how: str, settings: Settings, running: Servers, publisher: NatsLog, store: RedisStore
) -> None:
    """While Valkey is down or frozen health only warns; afterwards snapshots come again."""
    async with AsyncTestClient(create_app(settings)) as client:
        await eventually(lambda: has_status(client, "pass"), timeout_s=15)
        await (running.kill("valkey") if how == "killed" else running.pause("valkey"))
        await eventually(lambda: has_status(client, "warn"), timeout_s=15)
        answer = await client.get("/api/health")
        assert answer.status_code == 200
        assert answer.json()["checks"]["log"]["status"] == "pass"
        seq = await publisher.publish(Invalidation(tags=("a",)))
        await (running.restart("valkey") if how == "killed" else running.resume("valkey"))
        await eventually(lambda: has_status(client, "pass"), timeout_s=15)
        assert (await snapshot_at(store, seq)).hard["a"] == seq


async def test_starts_before_its_servers(settings: Settings, running: Servers) -> None:
    """With both servers away it starts, and fails its health until the log is there."""
    await running.stop("nats")
    await running.stop("valkey")
    async with AsyncTestClient(create_app(settings)) as client:
        answer = await client.get("/api/health")
        assert answer.status_code == 503
        assert set(answer.json()["checks"]) == {"log", "store", "work", "instances"}

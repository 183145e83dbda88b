"""The application: health, metrics and dead letters, and beside them the loops.

The follower and the snapshot writer keep the index for who starts again; the rest works on events.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from asgi_isr import CacheSettings
from asgi_isr.coherence import Follower, Index, Observer, Snapshot, read_snapshot, snapshot_key
from asgi_isr.errors import StoreUnavailableError
from asgi_isr.logs.nats import Instances, NatsLog
from asgi_isr.ports import SystemClock
from asgi_isr.stores.redis import RedisStore
from litestar import Litestar
from perfcheck_chassis.http import Health, create_litestar, metrics_route
from perfcheck_chassis.process import background_tasks
from perfcheck_chassis.settings import environment, load
from perfcheck_contracts import LOG_API

from perfcheck_revalidator.cdn.port import Cdn
from perfcheck_revalidator.cdn.settings import cdns_from
from perfcheck_revalidator.cdn.valkey_counter import ValkeyCounter
from perfcheck_revalidator.events import Events
from perfcheck_revalidator.metrics import Metrics
from perfcheck_revalidator.settings import Settings
from perfcheck_revalidator.snapshots import WRITE_TIMEOUT_S, SnapshotWriter
from perfcheck_revalidator.work.dead_letter_routes import dead_letter_routes

__all__ = ["create_app", "from_environment"]

# The cache's defaults decide where readers look for the snapshot and how large an index may be.
_CACHE = CacheSettings()


def create_app(
    settings: Settings, *, observer: Observer | None = None, cdns: Sequence[Cdn] | None = None
) -> Litestar:
    """Build the application; it connects when its lifespan is entered, and needs nobody for that.

    While the broker or the store is away it runs, tries again and says so in its health. While its
    lifespan lasts, the follower is in its state. `observer` is the live set, by default that of the
    log's instances; `cdns` are those that the settings name, unless given.
    """
    health = Health(settings.service, settings.instance_id)
    metrics = Metrics()
    clock = SystemClock()
    if observer is None:
        observer = Instances(
            settings.nats_url.reveal(), name=settings.instance_id, tls_ca_file=settings.tls_ca_file,
            api_prefix=LOG_API,
        )  # fmt: skip
    counter = ValkeyCounter(settings.valkey_url.reveal(), tls_ca_file=settings.tls_ca_file)
    if cdns is None:
        cdns = cdns_from(settings, counter, clock)
    events = Events(settings, observer, cdns, metrics=metrics, clock=clock)
    events.add_checks(health)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(_snapshots(settings, health, app))
            stack.push_async_callback(counter.close)
            await stack.enter_async_context(events.running())
            yield

    routes = [
        metrics_route(metrics.registry),
        *dead_letter_routes(settings.token_keys(), events.dead_letters),
    ]
    return create_litestar(routes, health=health, lifespan=[lifespan])


@asynccontextmanager
async def _snapshots(settings: Settings, health: Health, app: Litestar) -> AsyncIterator[None]:
    """Follow the log and keep the snapshot of its index."""
    async with AsyncExitStack() as stack:
        store = RedisStore(
            settings.valkey_url.reveal(),
            timeout_s=WRITE_TIMEOUT_S,
            tls_ca_file=settings.tls_ca_file,
        )
        stack.push_async_callback(store.close)
        log = NatsLog(
            settings.nats_url.reveal(),
            source=settings.service,
            tls_ca_file=settings.tls_ca_file,
            api_prefix=LOG_API,
        )
        stack.push_async_callback(log.close)

        async def load_snapshot() -> Snapshot | None:
            return await read_snapshot(store, _CACHE.namespace)

        follower = Follower(
            log,
            Index(tags_max=_CACHE.index_tags_max),
            load_snapshot=load_snapshot,
        )
        app.state.follower = follower
        writer = SnapshotWriter(
            follower,
            store,
            SystemClock(),
            key=snapshot_key(_CACHE.namespace),
            interval_s=settings.snapshot_interval_s,
        )
        _add_checks(health, follower, store, writer)
        stack.push_async_callback(writer.write)  # after the loops ended: the last position
        await stack.enter_async_context(
            background_tasks(follower=follower.run(), snapshots=writer.run())
        )
        yield


def _add_checks(
    health: Health, follower: Follower, store: RedisStore, writer: SnapshotWriter
) -> None:
    async def check_log() -> str | None:
        if follower.unhealthy_reason is not None:
            return follower.unhealthy_reason
        return None if follower.joined else "has not reached the end of the log yet"

    async def check_store() -> str | None:
        try:
            await store.get(f"{_CACHE.namespace}:health")  # nothing is there: only the way counts
        except StoreUnavailableError as error:
            return str(error)
        return writer.unhealthy_reason

    health.add("log", check_log, required=True)
    health.add("store", check_store, required=False)


def from_environment() -> Litestar:
    """Build the application from this process's environment; the server calls it."""
    return create_app(load(Settings, environment()))

"""The composition root: everything the service is made of, put together in one place."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.logs.nats import NatsLog
from asgi_isr.stores.redis import RedisStore
from litestar import Litestar
from perfcheck_chassis.asgi import ASGIApp
from perfcheck_chassis.http import Health, RequestTimeLimit, create_litestar
from perfcheck_chassis.http_client import ServiceClient
from perfcheck_chassis.settings import environment, load
from perfcheck_contracts import LOG_API

from perfcheck_bff.cache_status import cache_routes
from perfcheck_bff.checks import lease_check, log_check, store_check
from perfcheck_bff.consistency import OwnWrites
from perfcheck_bff.dashboard import routes as dashboard
from perfcheck_bff.reading.rates_api import RatesApi
from perfcheck_bff.release import fingerprint
from perfcheck_bff.settings import Settings
from perfcheck_bff.site import assets, templating, texts
from perfcheck_bff.site.errors import error_handlers
from perfcheck_bff.site.pages import Language, Pages
from perfcheck_bff.site.routes import page_routes
from perfcheck_bff.site.variants import sites
from perfcheck_bff.warming.pages import Warming
from perfcheck_bff.warming.routes import warm_routes

__all__ = ["create_app", "from_environment"]

_SERVICE = Settings.service
_API_TIMEOUT_S = 6.0
_API_CONNECTIONS_MAX = 32
# Everything else is a page that the cache may hold.
_BYPASS = ("/api/", "/assets/", "/ssr", "/perf", "/favicon.ico", "/robots.txt")


def create_app(settings: Settings) -> ASGIApp:
    """Build the service behind its page cache; nothing opens before the lifespan is entered."""
    store = RedisStore(settings.valkey_url.reveal(), tls_ca_file=settings.tls_ca_file)
    cache = PageCache(
        CacheSettings(
            instance=settings.instance_id,
            release=fingerprint(),
            bypass=_BYPASS,
            query=frozenset(),  # no page depends on a query
            vary_host=False,
            unsafe_invalidates=False,  # nothing is written here, and the broker would refuse it
            lease_s=settings.lease_s,
            forward_cdn_cache_control=settings.cdn,
        ),
        log=NatsLog(
            settings.nats_url.reveal(),
            source=_SERVICE,
            tls_ca_file=settings.tls_ca_file,
            api_prefix=LOG_API,
        ),
        store=store,
    )
    client = ServiceClient(
        settings.api_url,
        neighbour="api",
        timeout_s=_API_TIMEOUT_S,
        connections_max=_API_CONNECTIONS_MAX,
    )
    api = RatesApi(client)
    health = Health(_SERVICE, settings.instance_id)
    # Only what this instance cannot do without takes it out of service: were the api's state
    # required, one failure there would take all pages down with it.
    health.add("log", log_check(cache), required=True)
    health.add("lease", lease_check(cache), required=False)
    health.add("api", api.unhealthy_reason, required=False)
    health.add("store", store_check(store), required=False)
    own_writes = OwnWrites(settings.token_keys())
    warming = Warming(cache)
    app = _litestar(
        settings, cache=cache, client=client, api=api, health=health,
        own_writes=own_writes, warming=warming,
    )  # fmt: skip
    warming.app = CacheMiddleware(RequestTimeLimit(app), cache, read_your_writes=own_writes)
    return warming.app


def _litestar(
    settings: Settings, *, cache: PageCache, client: ServiceClient, api: RatesApi, health: Health,
    own_writes: OwnWrites, warming: Warming,
) -> Litestar:  # fmt: skip
    files = assets.load_assets((assets.STATIC, dashboard.STATIC))
    folders = (templating.TEMPLATES, dashboard.TEMPLATES)
    languages = {
        name: Language(
            texts.load(name), templating.environment(texts.load(name), files, folders=folders)
        )
        for name in texts.LANGUAGES
    }
    pages = Pages(languages, clock=time.perf_counter, cdn=settings.cdn)
    instance = settings.instance_id

    @asynccontextmanager
    async def calling(_: Litestar) -> AsyncGenerator[None]:
        async with client:
            yield

    return create_litestar(
        [
            *assets.asset_routes(files),
            *cache_routes(instance, cache, own_writes),
            *warm_routes(settings.token_keys(), warming),
            *dashboard.perf_routes(
                pages, sites()[0], instance=instance, cache=cache, health=health
            ),
            *(handler for site in sites() for handler in page_routes(pages, api, site)),
        ],
        health=health,
        lifespan=[calling],
        exception_handlers=error_handlers(pages),
    )


def from_environment() -> ASGIApp:
    """Build the service as the environment says; the server's target."""
    return create_app(load(Settings, environment()))

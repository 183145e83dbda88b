"""The composition root: everything is built here, and opened in the lifespan."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import date
from functools import partial

from litestar import Litestar
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from perfcheck_chassis import (
    ASGIApp,
    Health,
    RequestTimeLimit,
    Secret,
    ServerTiming,
    background_tasks,
    create_litestar,
    environment,
    load,
)

from perfcheck_api.clock import today_utc
from perfcheck_api.db import Database, DatabaseError, connect
from perfcheck_api.migrate import schema_problem
from perfcheck_api.rates.http import error_handlers, rates_router
from perfcheck_api.rates.service import RatesService
from perfcheck_api.relay import Relay
from perfcheck_api.settings import Settings

CHECK_S = 1.0

_log = logging.getLogger(__name__)


def from_environment() -> ASGIApp:
    """Build the app with settings from the environment; Granian calls it in its worker."""
    return create_app(load(Settings, environment()))


def create_app(settings: Settings, *, today: Callable[[], date] = today_utc) -> ASGIApp:
    """Build the ASGI app. Nothing opens before its lifespan is entered."""
    database = Database(
        settings.database_url,
        pool_size_min=settings.pool_size_min,
        pool_size_max=settings.pool_size_max,
        pool_timeout_s=settings.pool_timeout_s,
        statement_timeout_s=settings.statement_timeout_s,
    )
    relay = Relay(
        settings.database_url,
        settings.nats_url.reveal(),
        name=settings.instance_id,
        tls_ca_file=settings.tls_ca_file,
    )
    health = Health(settings.service, settings.instance_id)
    health.add("postgres", partial(_postgres_problem, settings.database_url), required=True)
    # Without NATS writes still commit: their events wait in the outbox.
    health.add("nats", relay.trouble, required=False)

    @asynccontextmanager
    async def opened(_: Litestar) -> AsyncGenerator[None, None]:
        async with database.opened(), background_tasks(relay=relay.run()):
            yield

    litestar = create_litestar(
        [rates_router],
        health=health,
        lifespan=[opened],
        openapi_config=_openapi(),
        body_bytes_max=settings.body_bytes_max,
        exception_handlers=error_handlers,
        state=State({"rates": RatesService(database, today=today)}),
    )
    return ServerTiming(RequestTimeLimit(litestar))


async def _postgres_problem(url: Secret) -> str | None:
    """Look on a connection of its own: a pool that is busy is no reason to be taken out."""
    try:
        async with connect(url, name="health", statement_timeout_s=CHECK_S) as connection:
            return await schema_problem(connection)
    except DatabaseError as error:
        _log.warning("health check of the database: %s", error)
        return "the database cannot be reached; the log says why"


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="perfcheck api",
        version="1.0.0",
        description="Euro reference rates of the European Central Bank since 1999-01-04. Every"
        " answer to a GET names what it was made of in `Cache-Tag`.",
        path="/api/schema",
        # JSON and YAML only: the pages of the other plugins load scripts from elsewhere.
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"]), YamlRenderPlugin()],
    )

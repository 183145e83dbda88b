"""The composition root: everything is built here, and opened in the lifespan."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import date
from functools import partial

from asgi_isr.coherence import Observer
from asgi_isr.logs.nats import Instances
from litestar import Litestar, Router
from perfcheck_chassis.asgi import ASGIApp
from perfcheck_chassis.http import Health, RequestTimeLimit, create_litestar, metrics_route
from perfcheck_chassis.identity import ConsistencyTokens
from perfcheck_chassis.process import background_tasks
from perfcheck_chassis.secret import Secret
from perfcheck_chassis.settings import environment, load
from perfcheck_chassis.timing import ServerTiming
from prometheus_client import CollectorRegistry

from perfcheck_api.clock import today_utc, wall_s
from perfcheck_api.db import Database, DatabaseError, connect
from perfcheck_api.invalidations import http as invalidations_http
from perfcheck_api.invalidations.rate_limit import RateLimit
from perfcheck_api.invalidations.service import InvalidationsService
from perfcheck_api.migrations.migrate import schema_problem
from perfcheck_api.openapi import openapi_config
from perfcheck_api.origin import NamesOrigin
from perfcheck_api.outbox.backlog import watch_backlog
from perfcheck_api.outbox.metrics import BacklogMetrics, RelayMetrics
from perfcheck_api.outbox.relay import Relay
from perfcheck_api.outbox.witness import MARK_INTERVAL_S
from perfcheck_api.problems import error_handlers
from perfcheck_api.rates import http as rates_http
from perfcheck_api.rates.service import RatesService
from perfcheck_api.receipts.http import receipts_router
from perfcheck_api.receipts.intake import ReceiptIntake
from perfcheck_api.receipts.service import ReceiptsService
from perfcheck_api.settings import Settings

CHECK_S = 1.0

_log = logging.getLogger(__name__)


def from_environment() -> ASGIApp:
    """Build the app with settings from the environment; Granian calls it in its worker."""
    return create_app(load(Settings, environment()))


def create_app(
    settings: Settings,
    *,
    today: Callable[[], date] = today_utc,
    observer: Observer | None = None,
    mark_interval_s: float = MARK_INTERVAL_S,
) -> ASGIApp:
    """Build the ASGI app. Nothing opens before its lifespan is entered."""
    database = Database(
        settings.database_url,
        pool_size_min=settings.pool_size_min,
        pool_size_max=settings.pool_size_max,
        pool_timeout_s=settings.pool_timeout_s,
        statement_timeout_s=settings.statement_timeout_s,
    )
    nats_url = settings.nats_url.reveal()
    ca_file = settings.tls_ca_file
    registry = CollectorRegistry()
    relay = Relay(
        settings.database_url,
        nats_url,
        name=settings.instance_id,
        metrics=RelayMetrics(registry),
        tls_ca_file=ca_file,
        mark_interval_s=mark_interval_s,
    )
    backlog = BacklogMetrics(registry)
    if observer is None:
        observer = Instances(nats_url, name=settings.instance_id, tls_ca_file=ca_file)
    invalidations = InvalidationsService(database, observer)
    intake = ReceiptIntake(
        settings.database_url,
        nats_url,
        name=settings.instance_id,
        prune_keys=invalidations.prune_keys,
        tls_ca_file=ca_file,
    )
    health = Health(settings.service, settings.instance_id)
    health.add("postgres", partial(_postgres_problem, settings.database_url), required=True)
    # Where another database has taken over the log, what is read here is not what pages show.
    health.add("database", relay.superseded_reason, required=True)
    # Without NATS writes still commit: their events wait in the outbox.
    health.add("nats", relay.unhealthy_reason, required=False)
    # And receipts wait in their stream.
    health.add("receipts", intake.unhealthy_reason, required=False)
    health.add("instances", observer.unhealthy_reason, required=False)

    @asynccontextmanager
    async def opened(_: Litestar) -> AsyncGenerator[None, None]:
        async with (
            database.opened(),
            background_tasks(
                relay=relay.run(),
                receipts=intake.run(),
                invalidations=invalidations.run(),
                instances=observer.run(),
                backlog=watch_backlog(database, backlog),
            ),
        ):
            yield

    litestar = create_litestar(
        [_features(settings, database, invalidations, today), metrics_route(registry)],
        health=health,
        lifespan=[opened],
        openapi_config=openapi_config(),
        body_bytes_max=settings.body_bytes_max,
        exception_handlers=error_handlers,
    )
    return NamesOrigin(ServerTiming(RequestTimeLimit(litestar)))


def _features(
    settings: Settings,
    database: Database,
    invalidations: InvalidationsService,
    today: Callable[[], date],
) -> Router:
    """Give each feature's routes what they work with."""
    keys = settings.token_keys()
    tokens = ConsistencyTokens(keys)
    rates = rates_http.Edge(
        service=RatesService(database, today=today),
        invalidations=invalidations,
        tokens=tokens,
        today=today,
    )
    publishing = invalidations_http.Edge(
        service=invalidations,
        tokens=tokens,
        limit=RateLimit(settings.invalidations_per_s),
        webhooks=settings.webhook_secrets(),
        wall_s=wall_s,
    )
    return Router(
        "/api/v1",
        route_handlers=[
            rates_http.rates_router(rates, keys),
            invalidations_http.invalidations_router(publishing, keys),
            receipts_router(ReceiptsService(database), keys),
        ],
    )


async def _postgres_problem(url: Secret) -> str | None:
    """Look on a connection of its own: a pool that is busy is no reason to be taken out."""
    try:
        async with connect(url, name="health", statement_timeout_s=CHECK_S) as connection:
            return await schema_problem(connection)
    except DatabaseError as error:
        _log.warning("health check of the database: %s", error)
        return "PostgreSQL cannot be reached; the log of the service says why"

"""The Litestar application as every service builds it: health, problem details, limits."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.types import ControllerRouterHandler
from perfcheck_contracts.limits import REQUEST_BODY_BYTES_MAX

from perfcheck_chassis.http.health import Health, health_routes
from perfcheck_chassis.http.problems import problem_handlers

__all__ = ["create_litestar"]

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create_litestar(
    route_handlers: Sequence[ControllerRouterHandler],
    *,
    health: Health,
    lifespan: Sequence[Lifespan | AbstractAsyncContextManager[None]] = (),
    openapi_config: OpenAPIConfig | None = None,
    body_bytes_max: int = REQUEST_BODY_BYTES_MAX,
    **options: Any,
) -> Litestar:
    """Build an application; nothing opens before its lifespan is entered.

    Args:
        route_handlers: the service's own routes; those of `health` are added.
        health: becomes ready once every `lifespan` has been entered.
        lifespan: owners of what the service opens, entered in this order and left in the reverse.
        openapi_config: where the schema is served; None serves none.
        body_bytes_max: larger request bodies are refused with 413.
        options: anything else that `Litestar` takes; `exception_handlers` are added to ours.

    """
    handlers = {**problem_handlers, **options.pop("exception_handlers", {})}
    on_startup = [*options.pop("on_startup", ()), health.ready]
    return Litestar(
        [*health_routes(health), *route_handlers],
        debug=False,
        exception_handlers=handlers,
        lifespan=list(lifespan),
        logging_config=None,  # the process configures logs once, see `logs`
        on_startup=on_startup,
        openapi_config=openapi_config,
        request_max_body_size=body_bytes_max,
        **options,
    )

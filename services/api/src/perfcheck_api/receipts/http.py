"""The HTTP edge of receipts: routes, and who may read."""

from typing import Annotated, Any

from litestar import Response, Router, get
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter, SkipValidation
from litestar.types import Guard
from perfcheck_chassis.http import Problem, requires
from perfcheck_chassis.identity import TokenKeys
from perfcheck_contracts import Receipt, ReceiptList

from perfcheck_api.openapi import BEARER, problem_responses
from perfcheck_api.receipts.input import filter_from
from perfcheck_api.receipts.model import LIST_LIMIT
from perfcheck_api.receipts.service import ReceiptsService

Time = Annotated[
    str | None, QueryParameter(description="when it became known, such as 2026-10-30T15:00:00Z")
]
Source = Annotated[
    str | None,
    QueryParameter(
        description="who published it; without it an event of the api comes before others of its id"
    ),
]

Service = NamedDependency[SkipValidation[ReceiptsService]]


@get(
    "/invalidations/{event_id:str}",
    operation_id="getReceipt",
    summary="What became of an invalidation",
    responses=problem_responses(401, 403, 404, 503),
    security=BEARER,
)
async def receipt(
    service: Service, event_id: FromPath[str], source: Source = None
) -> Response[Receipt]:
    """Its receipt, for 7 days (`invalidations:read` or `invalidations:write`)."""
    found = await service.receipt(event_id, source)
    return Response(found, headers={"Cache-Control": "no-store"})


@get(
    "/invalidations",
    operation_id="listReceipts",
    summary="Receipts of invalidations",
    responses=problem_responses(400, 401, 403, 503),
    security=BEARER,
)
async def receipts(
    service: Service,
    *,
    source: FromQuery[str | None] = None,
    stage: FromQuery[str | None] = None,
    tag: FromQuery[str | None] = None,
    since: Time = None,
    until: Time = None,
    limit: FromQuery[str] = str(LIST_LIMIT),
    cursor: FromQuery[str | None] = None,
) -> Response[ReceiptList]:
    """Newest first (`invalidations:read` or `invalidations:write`).

    Go on with `next` as `cursor` until it is null: where little fits, a page may be short.
    """
    wanted = filter_from(
        source=source,
        stage=stage,
        tag=tag,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )
    found = await service.receipts(wanted)
    return Response(found, headers={"Cache-Control": "no-store"})


def _may_read(keys: TokenKeys) -> Guard:
    read = requires(keys, audience="api", scope="invalidations:read")
    write = requires(keys, audience="api", scope="invalidations:write")

    def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        try:
            write(connection, handler)
        except Problem:
            read(connection, handler)

    return guard


def receipts_router(service: ReceiptsService, keys: TokenKeys) -> Router:
    """Return the routes; callers need a token of `keys` that allows to read or write."""
    return Router(
        "/",
        route_handlers=[receipt, receipts],
        guards=[_may_read(keys)],
        dependencies={"service": Provide(lambda: service, use_cache=True, sync_to_thread=False)},
        tags=["invalidations"],
    )

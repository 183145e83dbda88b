"""The HTTP edge of invalidations: routes, headers, who may call, and how often."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from asgi_isr.events import EVENT_BYTES_MAX
from litestar import Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery, HeaderParameter, QueryParameter, RawBody
from litestar.types import Guard
from perfcheck_chassis.http import Problem, caller_of, requires
from perfcheck_chassis.identity import ConsistencyTokens, TokenKeys
from perfcheck_contracts import Applied, InvalidationAccepted, Receipt, ReceiptList
from perfcheck_contracts.limits import WAIT_S

from perfcheck_api import outbox
from perfcheck_api.invalidations.input import event_from, filter_from, idempotency_key_from
from perfcheck_api.invalidations.model import LIST_LIMIT
from perfcheck_api.invalidations.openapi import (
    ACCEPTED_HEADERS,
    PublishOperation,
    WebhookOperation,
)
from perfcheck_api.invalidations.rate_limit import RateLimit
from perfcheck_api.invalidations.service import InvalidationsService
from perfcheck_api.invalidations.signature import SignatureError, WebhookSecrets
from perfcheck_api.invalidations.waiting import Wait, WaitTime, check_wait
from perfcheck_api.openapi import BEARER, problem_responses
from perfcheck_api.outbox import Appended

PATH = "/api/v1/invalidations"
WEBHOOK_CALLER = "webhook"  # the one sender; token subjects stand behind `token `

Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="the same key and body within 24 hours publish once, and get the same answer",
    ),
]
Time = Annotated[
    str | None, QueryParameter(description="when it became known, such as 2026-10-30T15:00:00Z")
]


class Edge(NamedTuple):
    """What the routes work with; `wall_s` gives seconds since 1970."""

    service: InvalidationsService
    tokens: ConsistencyTokens
    limit: RateLimit
    webhooks: WebhookSecrets
    wall_s: Callable[[], float]

    def admit(self, subject: str) -> dict[str, str]:
        """Count a call of `subject`; return the answer's headers. Raises `Problem` (429)."""
        allowance = self.limit.take(subject, self.service.now())
        headers = self.limit.headers(allowance)
        if not allowance.allowed:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                detail=f"more than {self.limit.per_s:g} invalidations a second;"
                f" nothing was written, try again in {headers['Retry-After']} s",
                headers=headers,
            )
        return headers


def _edge(state: State) -> Edge:
    edge: Edge = state.invalidations
    return edge


@post(
    "/invalidations",
    operation_id="publishInvalidation",
    summary="Invalidate pages",
    operation_class=PublishOperation,
    request_max_body_size=EVENT_BYTES_MAX,
    responses=problem_responses(400, 401, 403, 409, 413, 422, 429, 503),
    response_headers=ACCEPTED_HEADERS,
    security=BEARER,
    status_code=HTTPStatus.ACCEPTED,
)
async def publish(
    request: Request[Any, Any, State],
    state: State,
    body: RawBody,
    *,
    key: Key = None,
    wait: Wait = None,
    timeout_s: WaitTime = WAIT_S,
) -> Response[InvalidationAccepted]:
    """Commit an invalidation: 202 once it is sure to reach every instance (`invalidations:write`).

    With `wait=applied` the answer also says when each instance had applied it.
    """
    edge = _edge(state)
    started = edge.service.now()
    subject = caller_of(request).subject
    check_wait(timeout_s)
    headers = edge.admit(f"token {subject}")
    event = event_from(body)
    appended = await edge.service.publish(
        event,
        body,
        caller=f"token {subject}",
        key=idempotency_key_from(key),
        traceparent=request.headers.get("traceparent"),
    )
    applied = None
    if wait is not None:
        applied = await edge.service.wait(appended.id, timeout_s=timeout_s, started=started)
    return _accepted(edge, appended, headers, applied)


@post(
    "/webhooks/invalidations",
    operation_id="publishInvalidationByWebhook",
    summary="Invalidate pages by a signed webhook",
    operation_class=WebhookOperation,
    request_max_body_size=EVENT_BYTES_MAX,
    responses=problem_responses(400, 401, 409, 413, 422, 429, 503),
    response_headers=ACCEPTED_HEADERS,
    status_code=HTTPStatus.ACCEPTED,
)
async def receive_webhook(
    request: Request[Any, Any, State], state: State, body: RawBody
) -> Response[InvalidationAccepted]:
    """Commit an invalidation that a Standard Webhooks sender signed; `webhook-id` makes it once."""
    edge = _edge(state)
    try:
        # Before anything is read from it: the body is nobody's until then.
        identity = edge.webhooks.verify(request.headers, body, now=edge.wall_s())
    except SignatureError as error:
        detail = f"nothing was written. {error}"
        raise Problem(HTTPStatus.UNAUTHORIZED, detail=detail) from error
    headers = edge.admit(WEBHOOK_CALLER)
    event = event_from(body)
    appended = await edge.service.publish(
        event,
        body,
        caller=WEBHOOK_CALLER,
        key=identity,
        traceparent=request.headers.get("traceparent"),
    )
    return _accepted(edge, appended, headers, None)


def _accepted(
    edge: Edge, appended: Appended, headers: dict[str, str], applied: Applied | None
) -> Response[InvalidationAccepted]:
    answer = InvalidationAccepted(
        id=str(appended.event_id),
        consistency_token=edge.tokens.issue(outbox.SOURCE, appended.id),
        applied=applied,
    )
    location = {"Location": f"{PATH}/{appended.event_id}", "Cache-Control": "no-store"}
    return Response(answer, status_code=HTTPStatus.ACCEPTED, headers={**headers, **location})


@get(
    "/invalidations/{event_id:str}",
    operation_id="getReceipt",
    summary="What became of an invalidation",
    responses=problem_responses(401, 403, 404, 503),
    security=BEARER,
)
async def receipt(state: State, event_id: FromPath[str]) -> Response[Receipt]:
    """Its receipt, for 7 days (`invalidations:read` or `invalidations:write`)."""
    found = await _edge(state).service.receipt(event_id)
    return Response(found, headers={"Cache-Control": "no-store"})


@get(
    "/invalidations",
    operation_id="listReceipts",
    summary="Receipts of invalidations",
    responses=problem_responses(400, 401, 403, 503),
    security=BEARER,
)
async def receipts(
    state: State,
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
    found = await _edge(state).service.receipts(wanted)
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


def invalidations_router(keys: TokenKeys) -> Router:
    """Return the routes; callers need a token of `keys`, or a webhook's signature."""
    may_write = requires(keys, audience="api", scope="invalidations:write")
    writes = Router("/", route_handlers=[publish], guards=[may_write])
    reads = Router("/", route_handlers=[receipt, receipts], guards=[_may_read(keys)])
    return Router(
        "/api/v1", route_handlers=[writes, reads, receive_webhook], tags=["invalidations"]
    )

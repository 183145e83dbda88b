"""The HTTP edge of invalidations: routes, headers, who may call, and how often."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from asgi_isr.events import EVENT_BYTES_MAX
from litestar import Request, Response, Router, post
from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter, RawBody, SkipValidation
from perfcheck_chassis.http import Problem, caller_of, requires
from perfcheck_chassis.identity import ConsistencyTokens, TokenKeys
from perfcheck_contracts import Applied, InvalidationAccepted
from perfcheck_contracts.limits import WAIT_S

from perfcheck_api import outbox
from perfcheck_api.invalidations.input import event_from, idempotency_key_from
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

INVALIDATIONS_PATH = "/api/v1/invalidations"
WEBHOOK_CALLER = "webhook"  # the one sender; token subjects stand behind `token `

Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="the same key and body within 24 hours publish once, and get the same answer",
    ),
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


Given = NamedDependency[SkipValidation[Edge]]


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
    request: Request[Any, Any, Any],
    edge: Given,
    body: RawBody,
    *,
    key: Key = None,
    wait: Wait = None,
    timeout_s: WaitTime = WAIT_S,
) -> Response[InvalidationAccepted]:
    """Commit an invalidation: 202 once it is sure to reach every instance (`invalidations:write`).

    With `wait=applied` the answer also says when each instance had applied it.
    """
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
        applied = await edge.service.wait(appended.source_seq, timeout_s=timeout_s, started=started)
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
    request: Request[Any, Any, Any], edge: Given, body: RawBody
) -> Response[InvalidationAccepted]:
    """Commit an invalidation that a Standard Webhooks sender signed; `webhook-id` makes it once."""
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
        consistency_token=edge.tokens.issue(outbox.OUTBOX_SOURCE, appended.source_seq),
        applied=applied,
    )
    location = {
        "Location": f"{INVALIDATIONS_PATH}/{appended.event_id}",
        "Cache-Control": "no-store",
    }
    return Response(answer, status_code=HTTPStatus.ACCEPTED, headers={**headers, **location})


def invalidations_router(edge: Edge, keys: TokenKeys) -> Router:
    """Return the routes; callers need a token of `keys`, or a webhook's signature."""
    may_write = requires(keys, audience="api", scope="invalidations:write")
    writes = Router("/", route_handlers=[publish], guards=[may_write])
    return Router(
        "/",
        route_handlers=[writes, receive_webhook],
        dependencies={"edge": Provide(lambda: edge, use_cache=True, sync_to_thread=False)},
        tags=["invalidations"],
    )

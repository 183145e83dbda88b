"""The table from the service's own errors to problem details (RFC 9457), for every feature."""

from typing import Any

from litestar import Response
from litestar.types import ExceptionHandlersMap
from perfcheck_chassis.http import AnyRequest, Problem, problem_handlers
from perfcheck_contracts import FieldError

from perfcheck_api.errors import (
    BadRequestError,
    ConflictError,
    DatabaseUnavailableError,
    NotFoundError,
    RejectedError,
    RequestError,
)

RETRY_AFTER_S = 1


def _fields(error: RequestError) -> list[FieldError]:
    return [FieldError(field=fault.field, detail=fault.detail) for fault in error.faults]


def _send(request: AnyRequest, problem: Problem) -> Response[Any]:
    response: Response[Any] = problem_handlers[Problem](request, problem)
    return response


def _not_found(request: AnyRequest, error: NotFoundError) -> Response[Any]:
    # What is missing may come: the answer names what would change it, as every other does.
    headers = {"Cache-Control": "no-cache", "Cache-Tag": ", ".join(error.tags)}
    if not error.tags:
        headers = {}
    problem = Problem(
        404, type=error.kind, detail=str(error), errors=_fields(error), headers=headers
    )
    return _send(request, problem)


def _bad_request(request: AnyRequest, error: BadRequestError) -> Response[Any]:
    problem = Problem(400, type="invalid-request", detail=str(error), errors=_fields(error))
    return _send(request, problem)


def _rejected(request: AnyRequest, error: RejectedError) -> Response[Any]:
    problem = Problem(
        422,
        type="rejected",
        detail=f"nothing was written. {error}",
        errors=_fields(error),
    )
    return _send(request, problem)


def _conflict(request: AnyRequest, error: ConflictError) -> Response[Any]:
    problem = Problem(
        409,
        type="under-way",
        detail=str(error),
        errors=_fields(error),
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
    return _send(request, problem)


def _unavailable(request: AnyRequest, error: DatabaseUnavailableError) -> Response[Any]:
    problem = Problem(
        503,
        type="database-unavailable",
        detail=f"{error.reason}; try again in {RETRY_AFTER_S} s",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
    return _send(request, problem)


error_handlers: ExceptionHandlersMap = {
    NotFoundError: _not_found,
    BadRequestError: _bad_request,
    RejectedError: _rejected,
    ConflictError: _conflict,
    DatabaseUnavailableError: _unavailable,
}

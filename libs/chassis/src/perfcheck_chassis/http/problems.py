"""Errors at the HTTP edge: every error answer of a service is a problem details object (RFC 9457).

Domain code raises `Problem`; the table `problem_handlers` turns it, and what Litestar raises, into
answers. An unexpected exception becomes a 500 that says nothing about the inside; the log has it.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from litestar import Response
from litestar.exceptions import ClientException, HTTPException, ValidationException
from litestar.types import Empty, ExceptionHandlersMap
from perfcheck_contracts import PROBLEM_MEDIA_TYPE, FieldError, ProblemDetails

from perfcheck_chassis.http.answers import NEVER_STORED, AnyRequest

__all__ = ["Problem", "problem_handlers"]

_log = logging.getLogger(__name__)

# RFC 9110's names; before Python 3.13 HTTPStatus has older ones, and types are made of them.
_PHRASES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "URI Too Long",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Range Not Satisfiable",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content",
}

# What Litestar says, as a 500, when the body breaks off: the caller's doing, and nothing to log.
_BODY_CUT_OFF = "client disconnected prematurely"


def _phrase(status: int) -> str:
    return _PHRASES.get(HTTPStatus(status)) or HTTPStatus(status).phrase


class Problem(Exception):  # noqa: N818  the standard calls it a problem, and so do its users
    """An error answer: raise it anywhere below a handler.

    Args:
        status: HTTP status, 400 to 599.
        type: slug that programs branch on (`unknown-currency`); by default made from the status.
        title: the same for every problem of this type; by default the status phrase.
        detail: what is wrong this time and how to fix it; shown to the caller.
        errors: what is wrong with which field.
        headers: extra response headers; `Cache-Control` is `no-store` unless given here.

    """

    def __init__(
        self,
        status: int,
        *,
        type: str = "",  # noqa: A002  the member's name in RFC 9457
        title: str = "",
        detail: str = "",
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        phrase = _phrase(status)
        self.status = status
        self.type = type or phrase.lower().replace(" ", "-")
        self.title = title or phrase
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        super().__init__(f"{status} {self.type}: {detail or self.title}")

    def body(self) -> bytes:
        """Return the problem details as JSON."""
        return msgspec.json.encode(
            ProblemDetails(
                type=self.type,
                title=self.title,
                status=self.status,
                detail=self.detail,
                errors=self.errors,
            )
        )

    def response_headers(self) -> dict[str, str]:
        """Return the headers of the answer, but its content type and length."""
        if any(name.lower() == "cache-control" for name in self.headers):
            return dict(self.headers)
        return {**self.headers, **NEVER_STORED}


def _answer(problem: Problem) -> Response[bytes]:
    return Response(
        problem.body(),
        status_code=problem.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=problem.response_headers(),
    )


def _from_problem(_: AnyRequest, error: Problem) -> Response[bytes]:
    return _answer(error)


def _from_validation(_: AnyRequest, error: ValidationException) -> Response[bytes]:
    """Answer 422 when the body reads as JSON but does not fit, 400 when a parameter is at fault."""
    found = [item for item in error.extra or () if isinstance(item, Mapping)]
    in_body = bool(found) and all(item.get("source") == "body" for item in found)
    errors = [_field_error(str(item.get("key", "")), str(item["message"])) for item in found]
    detail = "the request is not valid; see errors" if errors else error.detail
    status = HTTPStatus.UNPROCESSABLE_ENTITY if in_body else HTTPStatus.BAD_REQUEST
    return _answer(Problem(status, type="invalid-request", detail=detail, errors=errors))


def _field_error(key: str, message: str) -> FieldError:
    """Put Litestar's key and message into the words of whoever sent the request."""
    if message == "'data'":  # how Litestar says that a body was expected and none came
        return FieldError(field="body", detail="a request body is required")
    return FieldError(field="body" if key == "data" else key, detail=message)


def _from_http(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Answer what Litestar or a handler raised: its own words for 4xx, none for 5xx."""
    status = error.status_code
    if error.detail == _BODY_CUT_OFF:
        reason = "ended before it was complete, or its chunks are malformed"
        return _answer(
            Problem(
                HTTPStatus.BAD_REQUEST,
                detail=f"body: {reason}",
                errors=[FieldError(field="body", detail=reason)],
            )
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(request, error, status)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _too_large(request)
    headers = {name: str(value) for name, value in (error.headers or {}).items()}
    named = {HTTPStatus(status).phrase, _phrase(status)}  # says no more than the status
    detail = error.detail
    if detail in named:
        allowed = {name.lower(): value for name, value in headers.items()}.get("allow")
        detail = f"allowed here: {allowed}" if allowed else ""
    if status == HTTPStatus.NOT_FOUND and not detail:
        detail = "nothing exists at this address"
    return _answer(Problem(status, detail=detail, headers=headers))


def _too_large(request: AnyRequest) -> Response[bytes]:
    # A route may have a limit of its own.
    limit = request.route_handler.resolve_request_max_body_size()
    reason = f"is larger than the limit of {limit} bytes"
    if request.route_handler.request_max_body_size is Empty:
        reason += " (PERFCHECK_BODY_BYTES_MAX)"
    return _answer(
        Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            detail=f"body: {reason}",
            errors=[FieldError(field="body", detail=reason)],
        )
    )


def _from_unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    return _unexpected(request, error, HTTPStatus.INTERNAL_SERVER_ERROR)


def _unexpected(request: AnyRequest, error: Exception, status: int) -> Response[bytes]:
    _log.error(
        "%s %s failed with %s", request.method, request.scope["path"], status, exc_info=error
    )
    return _answer(Problem(status, detail="the service failed; see its log"))


problem_handlers: ExceptionHandlersMap = {
    Problem: _from_problem,
    ValidationException: _from_validation,
    ClientException: _from_http,
    HTTPException: _from_http,
    Exception: _from_unexpected,
}

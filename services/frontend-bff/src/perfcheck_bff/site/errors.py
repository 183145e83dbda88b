"""Errors outside the pages' own reads: no route, wrong method, a fault of ours.

People get a page; programs, below `/api/`, get the chassis' problem details.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from litestar import Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap
from perfcheck_chassis.http import AnyRequest, problem_handlers

from perfcheck_bff.site import headers
from perfcheck_bff.site.pages import Pages, Sentence
from perfcheck_bff.site.variants import site_of

__all__ = ["error_handlers"]

_PROGRAMS = "/api/"
_SENTENCES = {
    HTTPStatus.BAD_REQUEST: "error.page",
    HTTPStatus.NOT_FOUND: "error.page",
    HTTPStatus.METHOD_NOT_ALLOWED: "error.method",
}
_log = logging.getLogger(__name__)


def error_handlers(pages: Pages) -> ExceptionHandlersMap:
    """Return handlers that take the place of the chassis' for everything but `/api/`."""

    def from_http(request: AnyRequest, error: HTTPException) -> Response[Any]:
        sentence = _SENTENCES.get(HTTPStatus(error.status_code))
        if sentence is None:
            return from_any(request, error)
        fields = headers.never_stored() | dict(error.headers or {})
        site = site_of(request.scope["path"])
        return pages.error(site, error.status_code, Sentence(sentence), fields=fields)

    def from_any(request: AnyRequest, error: Exception) -> Response[Any]:
        path = request.scope["path"]
        _log.error("%s %s failed", request.method, path, exc_info=error)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return pages.error(site_of(path), status, Sentence("error.internal"))

    own: dict[Any, Callable[[AnyRequest, Any], Response[Any]]] = {
        HTTPException: from_http,
        Exception: from_any,
    }
    handlers: dict[Any, Callable[[AnyRequest, Any], Response[Any]]] = {}
    for kind, for_programs in problem_handlers.items():
        is_http = isinstance(kind, type) and issubclass(kind, HTTPException)
        handlers[kind] = _choice(for_programs, own[HTTPException if is_http else Exception])
    return handlers


def _choice(
    for_programs: Callable[[Any, Any], Response[Any]],
    for_people: Callable[[Any, Any], Response[Any]],
) -> Callable[[AnyRequest, Any], Response[Any]]:
    def handle(request: AnyRequest, error: Any) -> Response[Any]:
        handler = for_programs if request.scope["path"].startswith(_PROGRAMS) else for_people
        return handler(request, error)

    return handle

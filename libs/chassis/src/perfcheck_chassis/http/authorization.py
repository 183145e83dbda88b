"""Bearer tokens at the HTTP edge (RFC 6750): a guard for Litestar's routes."""

from http import HTTPStatus
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from perfcheck_chassis.http.problems import Problem
from perfcheck_chassis.identity.tokens import Caller, ScopeError, TokenError, TokenKeys

__all__ = ["caller_of", "requires"]

_STATE = "perfcheck_caller"


def requires(keys: TokenKeys, *, audience: str, scope: str) -> Guard:
    """Return a guard that lets in whoever carries a token of `keys` for `scope` at `audience`.

    A good token without the scope gets 403, everybody else 401 (RFC 6750, section 3.1), as problem
    details with the reason; `caller_of` names who was let in.
    """

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        field = connection.headers.get("authorization", "")
        try:
            caller = keys.verify(_bearer(field), audience=audience, scope=scope)
        except ScopeError as error:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                detail=str(error),
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            ) from error
        except TokenError as error:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                detail=str(error),
                headers={"WWW-Authenticate": f'Bearer scope="{scope}"'},
            ) from error
        connection.scope["state"][_STATE] = caller

    return guard


def _bearer(field: str) -> str:
    scheme, _, token = field.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenError("a bearer token is required: `Authorization: Bearer <token>`")
    return token.strip()


def caller_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """Return who was let in; only below a route that `requires` guards."""
    caller: Caller = connection.scope["state"][_STATE]
    return caller

"""What answers of every service have in common."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec
from litestar import MediaType, Request, Response

__all__ = ["NEVER_STORED", "AnyRequest", "json_answer"]

AnyRequest: TypeAlias = Request[Any, Any, Any]

NEVER_STORED: Mapping[str, str] = {"Cache-Control": "no-store"}


def json_answer(value: object, *, status: int = HTTPStatus.OK) -> Response[bytes]:
    """Return `value` as JSON, for this request only: no cache may store it."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type=MediaType.JSON,
        headers=dict(NEVER_STORED),
    )

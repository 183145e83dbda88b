"""What Litestar cannot know of the routes: the body of a write, and the problem answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from perfcheck_contracts import PROBLEM_MEDIA_TYPE, FieldError, ProblemDetails

_EXAMPLES: Mapping[int, ProblemDetails] = {
    400: ProblemDetails(
        type="invalid-request",
        title="Bad Request",
        status=400,
        detail="date: '2026-02-30' is no date; expected YYYY-MM-DD",
        errors=[
            FieldError(field="date", detail="'2026-02-30' is no date; expected YYYY-MM-DD"),
        ],
    ),
    404: ProblemDetails(
        type="unknown-currency",
        title="Not Found",
        status=404,
        detail="code: no rates of XYZ are known",
        errors=[FieldError(field="code", detail="no rates of XYZ are known")],
    ),
    413: ProblemDetails(
        type="content-too-large",
        title="Content Too Large",
        status=413,
        detail="body: has more than 65536 bytes, the limit (PERFCHECK_BODY_BYTES_MAX)",
        errors=[FieldError(field="body", detail="has more than 65536 bytes, the limit")],
    ),
    422: ProblemDetails(
        type="rejected",
        title="Unprocessable Content",
        status=422,
        detail="nothing was written. rates.XYZ: is no known currency",
        errors=[FieldError(field="rates.XYZ", detail="is no known currency")],
    ),
    503: ProblemDetails(
        type="database-unavailable",
        title="Service Unavailable",
        status=503,
        detail="no database connection became free in time; try again in 1 s",
    ),
}


def problem_responses(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the documentation of the problem answers with these statuses."""
    return {
        status: ResponseSpec(
            data_container=ProblemDetails,
            description=HTTPStatus(status).phrase,
            media_type=PROBLEM_MEDIA_TYPE,
            generate_examples=False,
            examples=[Example(summary=HTTPStatus(status).phrase, value=_EXAMPLES[status])],
        )
        for status in statuses
    }


def _write_body() -> RequestBody:
    rate = Schema(
        one_of=[
            Schema(type=OpenAPIType.NUMBER, exclusive_minimum=0),
            Schema(type=OpenAPIType.NULL),
        ],
        description="units of the currency per one euro; null (PATCH only) removes the rate",
    )
    rates = Schema(
        type=OpenAPIType.OBJECT,
        additional_properties=rate,
        min_properties=1,
        description="currency code to rate",
    )
    schema = Schema(
        type=OpenAPIType.OBJECT,
        properties={"rates": rates},
        required=["rates"],
        additional_properties=False,
        title="DayWrite",
        examples=[{"rates": {"USD": 1.0853, "JPY": 163.28}}],
    )
    return RequestBody(required=True, content={"application/json": OpenAPIMediaType(schema)})


@dataclass
class DayWriteOperation(Operation):
    """An operation whose body is a `DayWrite`.

    The handler takes the raw bytes, since each bad field must be named, not the first only.
    """

    def __post_init__(self) -> None:
        """Document the body."""
        self.request_body = _write_body()

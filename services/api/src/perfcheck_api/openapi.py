"""What the schema says of every feature: problem answers, and how a caller proves who it is."""

from collections.abc import Mapping
from http import HTTPStatus

from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, Example, SecurityScheme
from perfcheck_contracts import PROBLEM_MEDIA_TYPE, FieldError, ProblemDetails

# Of operations that need a service token; its audience is `api`.
BEARER: list[dict[str, list[str]]] = [{"bearer": []}]

_EXAMPLES: Mapping[int, ProblemDetails] = {
    400: ProblemDetails(
        type="invalid-request",
        title="Bad Request",
        status=400,
        detail="date: '2026-02-30' is not a date; expected YYYY-MM-DD",
        errors=[
            FieldError(field="date", detail="'2026-02-30' is not a date; expected YYYY-MM-DD"),
        ],
    ),
    401: ProblemDetails(
        type="unauthorized",
        title="Unauthorized",
        status=401,
        detail="the token has expired or is not yet valid: get a new one",
    ),
    403: ProblemDetails(
        type="forbidden",
        title="Forbidden",
        status=403,
        detail="the token does not allow rates:write",
    ),
    404: ProblemDetails(
        type="unknown-currency",
        title="Not Found",
        status=404,
        detail="code: no rates of XYZ are known",
        errors=[FieldError(field="code", detail="no rates of XYZ are known")],
    ),
    409: ProblemDetails(
        type="under-way",
        title="Conflict",
        status=409,
        detail="Idempotency-Key: a request with this key is in progress; try again in a moment",
        errors=[
            FieldError(field="Idempotency-Key", detail="a request with this key is in progress")
        ],
    ),
    413: ProblemDetails(
        type="content-too-large",
        title="Content Too Large",
        status=413,
        detail="body: is larger than the limit of 65536 bytes",
        errors=[FieldError(field="body", detail="is larger than the limit of 65536 bytes")],
    ),
    422: ProblemDetails(
        type="rejected",
        title="Unprocessable Content",
        status=422,
        detail="nothing was written. rates.XYZ: is not a known currency",
        errors=[FieldError(field="rates.XYZ", detail="is not a known currency")],
    ),
    429: ProblemDetails(
        type="too-many-requests",
        title="Too Many Requests",
        status=429,
        detail="more than 100 invalidations a second; try again in 1 s",
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


def openapi_config() -> OpenAPIConfig:
    """Return where the schema is served, and what it says beyond the routes."""
    bearer = SecurityScheme(
        type="http",
        scheme="bearer",
        bearer_format="JWT",
        description="A service token signed with PERFCHECK_TOKEN_KEY, audience `api`, with the"
        " scope that the operation names.",
    )
    return OpenAPIConfig(
        title="perfcheck api",
        version="1.0.0",
        description="Euro reference rates of the European Central Bank since 1999-01-04, where"
        " every answer to a GET names what it was made of in `Cache-Tag`; and invalidations of the"
        " pages made of them, with a receipt of what became of each.",
        path="/api/schema",
        components=Components(security_schemes={"bearer": bearer}),
        # JSON and YAML only: the pages of the other plugins load scripts from elsewhere.
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"]), YamlRenderPlugin()],
    )

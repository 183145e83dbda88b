"""What Litestar cannot know of the routes: bodies that are read raw, and signed headers."""

from dataclasses import dataclass

from litestar.datastructures import ResponseHeader
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
)

ACCEPTED_HEADERS = [
    ResponseHeader(
        name="Location", description="the receipt of this event", documentation_only=True
    ),
    ResponseHeader(
        name="RateLimit",
        description="how many more calls are allowed now (`r`), seconds until the next (`t`)",
        documentation_only=True,
    ),
]


def _body() -> RequestBody:
    names = Schema(type=OpenAPIType.STRING)
    schema = Schema(
        type=OpenAPIType.OBJECT,
        title="InvalidationWrite",
        description="at least one tag or path, at most 1,000 of both; 64 KiB in all",
        properties={
            "tags": Schema(
                type=OpenAPIType.ARRAY,
                items=Schema(type=OpenAPIType.STRING, min_length=1, max_length=256),
                max_items=1000,
                description="what changed; visible ASCII without ',', case does not count;"
                " '*' is everything",
            ),
            "paths": Schema(
                type=OpenAPIType.ARRAY,
                items=names,
                max_items=1000,
                description="pages that changed; '/a/*' is every page below '/a/'",
            ),
            "mode": Schema(
                type=OpenAPIType.STRING,
                enum=["hard", "soft"],
                default="hard",
                description="hard: not served again; soft: served while it is rendered again",
            ),
            "reason": Schema(type=OpenAPIType.STRING, max_length=1024, default=""),
        },
        additional_properties=False,
        examples=[
            {
                "tags": ["currency:usd"],
                "paths": ["/pairs/usd/*"],
                "mode": "hard",
                "reason": "rates corrected",
            }
        ],
    )
    return RequestBody(required=True, content={"application/json": OpenAPIMediaType(schema)})


def _header(name: str, description: str, example: str) -> Parameter:
    return Parameter(
        name=name,
        param_in="header",
        required=True,
        description=description,
        schema=Schema(type=OpenAPIType.STRING, examples=[example]),
    )


@dataclass
class PublishOperation(Operation):
    """An operation whose body is an `InvalidationWrite`, read raw so that faults name fields."""

    def __post_init__(self) -> None:
        """Document the body."""
        self.request_body = _body()


@dataclass
class WebhookOperation(Operation):
    """The same, signed: the raw body is verified before it is read."""

    def __post_init__(self) -> None:
        """Document the body and the headers of Standard Webhooks."""
        self.request_body = _body()
        self.parameters = [
            *(self.parameters or ()),
            _header("webhook-id", "the same for each attempt of one call", "msg_2KWPBgLlAfxdpx2AI"),
            _header("webhook-timestamp", "seconds since 1970, at most 300 s off", "1793375100"),
            _header(
                "webhook-signature",
                "`v1,` and base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`; several, separated"
                " by spaces, while the secret is changed",
                "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
            ),
        ]

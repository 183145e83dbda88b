"""What Litestar cannot know of the routes: the body of a write."""

from dataclasses import dataclass

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema


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

"""Parameters of a write whose answer may wait until every live instance has applied it."""

from typing import Annotated, Literal

from litestar.params import QueryParameter
from perfcheck_contracts.limits import WAIT_S_MAX

from perfcheck_api.errors import BadRequestError, Fault

Wait = Annotated[
    Literal["applied"] | None,
    QueryParameter(description="answer once every live instance has applied it"),
]
WaitTime = Annotated[
    float,
    QueryParameter(description="longest wait, in seconds; then the answer says who is missing"),
]


def check_wait(timeout_s: float) -> None:
    """Raise `BadRequestError` unless so many seconds may be waited."""
    if not 0 < timeout_s <= WAIT_S_MAX:
        detail = f"expected a number of seconds above 0, at most {WAIT_S_MAX:g}"
        raise BadRequestError(Fault("timeout_s", detail))

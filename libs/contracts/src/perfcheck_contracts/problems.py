"""Problem details (RFC 9457), the one shape of every error answer of every service."""

import msgspec

__all__ = ["PROBLEM_MEDIA_TYPE", "FieldError", "ProblemDetails"]

PROBLEM_MEDIA_TYPE = "application/problem+json"


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one field; `field` is its path in the request (`rates.USD`, `from`)."""

    field: str
    detail: str


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Body of an error answer; `type` is a slug that programs may branch on."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[FieldError] = []

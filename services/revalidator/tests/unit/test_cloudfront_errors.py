import pytest
from perfcheck_revalidator.cdn.cloudfront_api import error_of


@pytest.mark.parametrize(
    ("code", "status", "permanent", "unknown"),
    [
        ("AccessDenied", 403, True, False),
        ("NoSuchDistribution", 404, True, False),
        ("InvalidArgument", 400, True, False),
        ("BatchTooLarge", 413, True, False),
        ("InvalidationBatchAlreadyExists", 400, True, False),
        ("TooManyInvalidationsInProgress", 400, False, False),
        ("Throttling", 400, False, False),
        ("ThrottlingException", 400, False, False),
        ("", 429, False, False),
        ("ExpiredToken", 403, False, False),
        ("RequestTimeout", 408, False, False),
        ("InternalError", 500, False, True),
        ("", 503, False, True),
        ("", 0, False, True),
    ],
)
def test_errors(code: str, status: int, *, permanent: bool, unknown: bool) -> None:
    """What AWS answers passes or stays; what it says is kept; after 5xx it may have been done."""
    error = error_of(code, status, "its words")
    assert (error.permanent, error.unknown) == (permanent, unknown)
    assert "its words" in str(error)

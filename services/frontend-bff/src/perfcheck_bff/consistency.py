"""Read your writes: what a request says its client has written, in a token that the api signed.

A client sends it as the field `Consistency-Token`, a browser as the cookie `consistency-token`.
"""

from contextlib import suppress

from perfcheck_chassis.identity import ConsistencyTokens, TokenError, TokenKeys

__all__ = ["CONSISTENCY_COOKIE", "CONSISTENCY_FIELD", "OwnWrites"]

CONSISTENCY_FIELD = b"consistency-token"
CONSISTENCY_COOKIE = b"consistency-token"
_COOKIE = CONSISTENCY_COOKIE + b"="
_TOKEN_BYTES_MAX = 1024  # ours have some 250; what is longer is not even looked at


class OwnWrites:
    """Reads and verifies the tokens of requests.

    One that is not valid is ignored, and counted in `refused`: whoever forges one gets what others
    get. So does whoever sends one that has expired: what it names was written minutes ago, and no
    page older than that counts as fresh, once the lease has passed.
    """

    def __init__(self, keys: TokenKeys) -> None:
        self._tokens = ConsistencyTokens(keys)
        self.refused = 0

    def __call__(self, headers: list[tuple[bytes, bytes]]) -> tuple[str, int] | None:
        """Return source and `source_seq` of the write to see; the field goes before the cookie."""
        token = None
        for name, value in headers:
            if name == CONSISTENCY_FIELD:
                return self._written(value)
            # A browser's cookies may come in several fields (RFC 9113, section 8.2.3).
            if name == b"cookie" and _COOKIE in value:
                token = _cookie(value) or token
        return self._written(token) if token is not None else None

    def _written(self, token: bytes) -> tuple[str, int] | None:
        if len(token) <= _TOKEN_BYTES_MAX:
            with suppress(TokenError):
                return self._tokens.verify(token.decode("latin-1").strip())
        self.refused += 1
        return None


def _cookie(field: bytes) -> bytes | None:
    """Return the value of the cookie in a field `Cookie` (RFC 6265, section 4.2.1)."""
    for pair in field.split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name == CONSISTENCY_COOKIE and value:
            return value.strip(b'"')
    return None

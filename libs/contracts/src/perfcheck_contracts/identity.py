"""Who may do what: audiences, scopes and claims of service tokens (JWT, RFC 7519).

A token is a JWT signed with HS256. It names who sends (`iss`, `sub`), the one service that may
accept it (`aud`), until when (`exp`, seconds since 1970) and what it allows (`scope`, RFC 8693,
section 4.2: words separated by spaces). Which key signed is in its header (`kid`).
"""

import hashlib
from collections.abc import Collection
from typing import Literal, get_args

__all__ = [
    "ALGORITHM",
    "AUDIENCES",
    "KEY_BYTES_MIN",
    "SCOPES",
    "TOKEN_LIFETIME_S",
    "TOKEN_LIFETIME_S_MAX",
    "Audience",
    "Scope",
    "key_id",
    "token_claims",
]

ALGORITHM = "HS256"
KEY_BYTES_MIN = 32  # RFC 7518, section 3.2
TOKEN_LIFETIME_S = 60  # of tokens that a program makes for its own calls
TOKEN_LIFETIME_S_MAX = 3600  # a token that lives longer is refused, whoever signed it

Audience = Literal["api", "frontend-bff", "revalidator"]
AUDIENCES: tuple[str, ...] = get_args(Audience)

Scope = Literal[
    "rates:write",  # api: change rates
    "invalidations:write",  # api: publish invalidations
    "invalidations:read",  # api: receipts
    "cache:warm",  # frontend-bff: render pages into the cache
    "dead-letters",  # revalidator: list and retry
]
SCOPES: tuple[str, ...] = get_args(Scope)


def key_id(key: bytes) -> str:
    """Return the header `kid` of what `key` signs: 16 hex digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:16]


def token_claims(
    *, subject: str, audience: str, scopes: Collection[str], issued_s: float, lifetime_s: int
) -> dict[str, str | int]:
    """Return the claims of a token with which `subject` may do `scopes` at `audience`.

    It is issued at `issued_s`, in seconds since 1970, and is valid for `lifetime_s` seconds.
    """
    issued = int(issued_s)
    return {
        "iss": subject,
        "sub": subject,
        "aud": audience,
        "iat": issued,
        "exp": issued + lifetime_s,
        "scope": " ".join(sorted(scopes)),
    }

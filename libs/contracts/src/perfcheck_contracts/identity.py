"""Who may do what: audiences, scopes and claims of service tokens (JWT, RFC 7519).

A token is a JWT signed with HS256. It names who sends (`iss`, `sub`), the one service that may
accept it (`aud`), until when (`exp`, seconds since 1970) and what it allows (`scope`, RFC 8693,
section 4.2: words separated by spaces).
"""

from typing import Literal, get_args

__all__ = [
    "ALGORITHM",
    "AUDIENCES",
    "KEY_BYTES_MIN",
    "SCOPES",
    "TOKEN_LIFETIME_S_MAX",
    "Audience",
    "Scope",
]

ALGORITHM = "HS256"
KEY_BYTES_MIN = 32  # RFC 7518, section 3.2
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

"""Service tokens: who sends, whom it may speak to, what it may do, until when (JWT, RFC 7519).

Both sides share keys: the newest signs, all verify, so that a key is changed without a moment in
which good tokens are refused. Which key signed is in the header (`kid`, its SHA-256 in short).
Without a key nothing is accepted and nothing signed. PyJWT compares signatures in constant time
(`hmac.compare_digest`), so that time does not tell how much of a forged one is right.
"""

import time
from collections.abc import Callable, Collection
from typing import NamedTuple

import jwt
from perfcheck_contracts import (
    ALGORITHM,
    KEY_BYTES_MIN,
    TOKEN_LIFETIME_S,
    TOKEN_LIFETIME_S_MAX,
    key_id,
    token_claims,
)

from perfcheck_chassis.secret import Secret

__all__ = ["Caller", "ScopeError", "TokenError", "TokenKeys"]

LEEWAY_S = 10  # of clocks that disagree


class TokenError(Exception):
    """A token is not accepted; the text says why and is safe to show."""


class ScopeError(TokenError):
    """The token is valid, but does not allow what is asked for."""


class Caller(NamedTuple):
    """Whom a valid token names: `subject` is who is accountable."""

    subject: str
    scopes: frozenset[str]


class TokenKeys:
    """The keys of an installation, the newest first.

    Args:
        keys: none, one or two secrets of at least 32 bytes; None and empty ones do not count.
        now: seconds since 1970.

    Raises:
        ValueError: a key is too short.

    """

    def __init__(self, *keys: Secret | None, now: Callable[[], float] = time.time) -> None:  # noqa: TID251  the default clock
        texts = [key.reveal().encode() for key in keys if key is not None and key.reveal()]
        for text in texts:
            if len(text) < KEY_BYTES_MIN:
                raise ValueError(f"a token key has {len(text)} bytes; at least {KEY_BYTES_MIN}")
        self._keys = {key_id(text): text for text in texts}
        self._now = now

    def __bool__(self) -> bool:
        """Return whether there is a key."""
        return bool(self._keys)

    def issue(
        self,
        *,
        subject: str,
        audience: str,
        scopes: Collection[str],
        lifetime_s: int = TOKEN_LIFETIME_S,
    ) -> str:
        """Return a token with which `subject` may do `scopes` at `audience`.

        Raises:
            TokenError: there is no key to sign with.

        """
        for kid, key in self._keys.items():
            claims = token_claims(
                subject=subject,
                audience=audience,
                scopes=scopes,
                issued_s=self._now(),
                lifetime_s=lifetime_s,
            )
            return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid})
        raise TokenError("no token key is configured (PERFCHECK_TOKEN_KEY)")

    def verify(self, token: str, *, audience: str, scope: str) -> Caller:
        """Return who sent `token`.

        Raises:
            TokenError: it is not a token, not signed by one of the keys, meant for another service,
                expired or not yet valid, or its lifetime is too long; or there are no keys.
            ScopeError: it is valid, but does not allow `scope`.

        """
        if not self._keys:
            raise TokenError(
                "no token is accepted here: no token key is configured (PERFCHECK_TOKEN_KEY)"
            )
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self._keys.get(kid) if isinstance(kid, str) else None
            if key is None:
                raise TokenError("the token was signed with a key that is not known here")
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=audience,
                options={
                    "require": ["exp", "iat", "aud", "sub"],
                    "verify_exp": False,  # below, by our clock
                    "verify_iat": False,
                },
            )
        except jwt.InvalidAudienceError as error:
            raise TokenError(f"the token is not meant for {audience}") from error
        except jwt.InvalidTokenError as error:
            raise TokenError(f"the token is not valid: {error}") from error
        return self._caller(claims, scope)

    def _caller(self, claims: dict[str, object], scope: str) -> Caller:
        issued, expires, subject = claims["iat"], claims["exp"], claims["sub"]
        if not isinstance(issued, int | float) or not isinstance(expires, int | float):
            raise TokenError("the token's times (iat, exp) are not numbers")
        if not subject:
            raise TokenError("the token names no sender (sub)")
        now = self._now()
        if not issued - LEEWAY_S <= now < expires + LEEWAY_S:
            raise TokenError("the token has expired or is not yet valid: get a new one")
        if expires - issued > TOKEN_LIFETIME_S_MAX:
            raise TokenError(f"the token's lifetime is longer than {TOKEN_LIFETIME_S_MAX} s")
        scopes = frozenset(str(claims.get("scope", "")).split())
        if scope not in scopes:
            raise ScopeError(f"the token does not allow {scope}")
        return Caller(str(subject), scopes)

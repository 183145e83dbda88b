"""Tokens for the services: the one that was given, else short ones made from the stack's key.

A token is a JWT (RFC 7519) with the claims that `perfcheck_contracts.identity` describes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import jwt
from perfcheck_contracts import (
    ALGORITHM,
    KEY_BYTES_MIN,
    Audience,
    Scope,
    key_id,
    token_claims,
)

from perfcheck import environment
from perfcheck.exits import TargetError, WrongUsageError

COMMAND_SUBJECT = "cli"
COMMAND_LIFETIME_S = 60
RENEWED_S = 30  # before its end; longer than any call takes

SCOPES_OF: Mapping[str, tuple[Scope, ...]] = {
    "api": ("rates:write", "invalidations:write", "invalidations:read"),
    "frontend-bff": ("cache:warm",),
    "revalidator": ("dead-letters",),
}


def scopes_for(audience: str, wanted: Sequence[str]) -> Sequence[str]:
    """Return `wanted`, or all scopes of `audience`; raise `WrongUsageError` for another's."""
    known = SCOPES_OF[audience]
    for scope in wanted:
        if scope not in known:
            owner = next(name for name, scopes in SCOPES_OF.items() if scope in scopes)
            raise WrongUsageError(f"{scope} is a scope of {owner}: add --audience {owner}")
    return wanted or known


def mint(
    key: str,
    *,
    subject: str,
    audience: str,
    scopes: Collection[str],
    lifetime_s: int,
    now_s: float,
) -> str:
    """Return a signed token with which `subject` may do `scopes` at `audience`.

    Raises:
        TargetError: the key is missing or too short to sign with.

    """
    secret = key.encode()
    if len(secret) < KEY_BYTES_MIN:
        raise TargetError(
            f"the stack's token key has {len(secret)} bytes, at least {KEY_BYTES_MIN} are needed: "
            "restart it with `perfcheck up`, or give a token with --token"
        )
    claims = token_claims(
        subject=subject, audience=audience, scopes=scopes, issued_s=now_s, lifetime_s=lifetime_s
    )
    return jwt.encode(claims, secret, algorithm=ALGORITHM, headers={"kid": key_id(secret)})


class Tokens:
    """Gives each call its token; one that was made here is renewed before it ends."""

    def __init__(
        self,
        *,
        given: str | None = None,
        key: str = "",
        now: Callable[[], float] = environment.unix_s,
    ) -> None:
        """`given` is used as it is, whatever it allows; else `key` signs. `now` is Unix time.

        Raises:
            WrongUsageError: what was given cannot be sent as a token.

        """
        if given is not None and (not given.isascii() or not given.isprintable() or " " in given):
            raise WrongUsageError("--token: a token is ASCII without spaces or line breaks")
        self._given = given
        self._key = key
        self._now = now
        self._made: dict[tuple[str, ...], tuple[float, str]] = {}

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._given or self._key)

    def headers(self, audience: Audience, *scopes: Scope) -> dict[str, str]:
        """Return the field `Authorization` (RFC 6750) for a call to `audience`.

        Raises:
            WrongUsageError: there is neither a token nor a key.
            TargetError: the key is too short.

        """
        if self._given:
            return {"Authorization": f"Bearer {self._given}"}
        if not self._key:
            raise WrongUsageError(
                f"no token for the {audience}: give one with --token or PERFCHECK_TOKEN"
            )
        now_s = self._now()
        renewed_s, token = self._made.get((audience, *scopes), (0.0, ""))
        if now_s >= renewed_s:
            token = mint(
                self._key,
                subject=COMMAND_SUBJECT,
                audience=audience,
                scopes=scopes,
                lifetime_s=COMMAND_LIFETIME_S,
                now_s=now_s,
            )
            renewed_s = now_s + COMMAND_LIFETIME_S - RENEWED_S
            self._made[audience, *scopes] = (renewed_s, token)
        return {"Authorization": f"Bearer {token}"}

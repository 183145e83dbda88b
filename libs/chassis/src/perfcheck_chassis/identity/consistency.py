"""Consistency tokens: "show me nothing older than this" (rule 12 of the coherence protocol).

Whoever wrote gets one, and sends it with a read. It names a source of events and a number in it:
the reader must see every event of that source up to the number. It is signed, so that nobody can
make readers wait for what never comes, and lives for minutes: by then the log has long brought it.
"""

import re

from perfcheck_chassis.identity.tokens import TokenError, TokenKeys

__all__ = ["CONSISTENCY_LIFETIME_S", "ConsistencyTokens"]

CONSISTENCY_LIFETIME_S = 300
_AUDIENCE = "frontend-bff"
_SCOPE = "consistency"

_SOURCE_AND_NUMBER = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9]{1,19})", re.ASCII)


class ConsistencyTokens:
    """Issues and verifies consistency tokens with the keys of service tokens."""

    def __init__(self, keys: TokenKeys) -> None:
        self._keys = keys

    def issue(self, source: str, number: int) -> str:
        """Return a token whose bearer is to see every event of `source` up to `number`.

        Raises:
            TokenError: there is no key to sign with.
            ValueError: a token cannot name `source` or `number`.

        """
        subject = f"{source}:{number}"
        if not _SOURCE_AND_NUMBER.fullmatch(subject):
            raise ValueError(f"no token can name {number} of {source!r}")
        return self._keys.issue(
            subject=subject,
            audience=_AUDIENCE,
            scopes=(_SCOPE,),
            lifetime_s=CONSISTENCY_LIFETIME_S,
        )

    def verify(self, text: str) -> tuple[str, int]:
        """Return the source and the number that a token names.

        Raises:
            TokenError: it is no consistency token of these keys, or out of date.

        """
        caller = self._keys.verify(text, audience=_AUDIENCE, scope=_SCOPE)
        match = _SOURCE_AND_NUMBER.fullmatch(caller.subject)
        if match is None:
            raise TokenError("the token names no source and number")
        return match[1], int(match[2])

"""Consistency tokens: "show me nothing older than this" (rule 12 of the coherence protocol).

Whoever wrote gets one, and sends it with a read. It names a source of events and a sequence number
that this source counts (`source_seq`): the reader must see every event of the source up to it. It
is signed, so that nobody can make readers wait for what never comes, and expires after minutes: by
then the log has long brought what it names.
"""

import re

from perfcheck_chassis.identity.tokens import TokenError, TokenKeys

__all__ = ["CONSISTENCY_LIFETIME_S", "ConsistencyTokens"]

CONSISTENCY_LIFETIME_S = 300
_AUDIENCE = "frontend-bff"
_SCOPE = "consistency"

_SOURCE_AND_SEQ = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9]{1,19})", re.ASCII)


class ConsistencyTokens:
    """Issues and verifies consistency tokens with the keys of service tokens."""

    def __init__(self, keys: TokenKeys) -> None:
        self._keys = keys

    def issue(self, source: str, source_seq: int) -> str:
        """Return a token whose bearer is to see every event of `source` up to `source_seq`.

        Raises:
            TokenError: there is no key to sign with.
            ValueError: `source` or `source_seq` cannot stand in a token.

        """
        subject = f"{source}:{source_seq}"
        if not _SOURCE_AND_SEQ.fullmatch(subject):
            raise ValueError(f"a token cannot hold source {source!r} and sequence {source_seq}")
        return self._keys.issue(
            subject=subject,
            audience=_AUDIENCE,
            scopes=(_SCOPE,),
            lifetime_s=CONSISTENCY_LIFETIME_S,
        )

    def verify(self, text: str) -> tuple[str, int]:
        """Return the source and the `source_seq` that a token names.

        Raises:
            TokenError: it is not a consistency token signed with these keys, or has expired.

        """
        caller = self._keys.verify(text, audience=_AUDIENCE, scope=_SCOPE)
        match = _SOURCE_AND_SEQ.fullmatch(caller.subject)
        if match is None:
            raise TokenError("the token does not name a source and a sequence")
        return match[1], int(match[2])

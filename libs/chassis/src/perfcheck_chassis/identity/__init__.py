"""Who somebody is: service tokens, and consistency tokens signed with the same keys."""

from perfcheck_chassis.identity.consistency import ConsistencyTokens
from perfcheck_chassis.identity.tokens import Caller, ScopeError, TokenError, TokenKeys

__all__ = ["Caller", "ConsistencyTokens", "ScopeError", "TokenError", "TokenKeys"]

"""Tokens of the command, as the services verify them."""

import pytest
from perfcheck.exits import TargetError, WrongUsageError
from perfcheck.stack.tokens import COMMAND_LIFETIME_S, SCOPES_OF, Tokens, mint
from perfcheck_chassis.identity import TokenError, TokenKeys
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import AUDIENCES, SCOPES

KEY = "a key of at least thirty-two bytes"
NOW_S = 1_800_000_000.0


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def bearer(headers: dict[str, str]) -> str:
    """Return the token in the field `Authorization`."""
    return headers["Authorization"].removeprefix("Bearer ")


def test_a_minted_token_is_accepted_by_a_service() -> None:
    """Subject and scopes arrive; another audience and another scope are refused."""
    token = mint(
        KEY, subject="me", audience="api", scopes=["rates:write"], lifetime_s=300, now_s=NOW_S
    )
    keys = TokenKeys(Secret(KEY), now=lambda: NOW_S)
    caller = keys.verify(token, audience="api", scope="rates:write")
    assert caller == ("me", frozenset({"rates:write"}))
    with pytest.raises(TokenError, match="not meant for revalidator"):
        keys.verify(token, audience="revalidator", scope="rates:write")
    with pytest.raises(TokenError, match="does not allow"):
        keys.verify(token, audience="api", scope="invalidations:write")


def test_a_token_is_used_again_and_renewed_before_it_ends() -> None:
    """Every token handed out is valid for at least half a minute more."""
    clock = Clock()
    tokens = Tokens(key=KEY, now=clock)
    seen = set()
    for passed_s in range(0, 3 * COMMAND_LIFETIME_S, 10):
        clock.now_s = NOW_S + passed_s
        token = bearer(tokens.headers("api", "rates:write"))
        later = TokenKeys(Secret(KEY), now=lambda: clock.now_s + 30)
        later.verify(token, audience="api", scope="rates:write")
        seen.add(token)
    assert len(seen) == 6


def test_a_given_token_is_used_as_it_is() -> None:
    """What the user gives goes before the key."""
    assert bearer(Tokens(given="abc", key=KEY).headers("api", "rates:write")) == "abc"


def test_without_token_and_key_it_says_what_to_give() -> None:
    """No call is sent without a token where one is needed."""
    assert not Tokens()
    with pytest.raises(WrongUsageError, match="give one with --token"):
        Tokens().headers("revalidator", "dead-letters")


def test_a_key_that_is_too_short_signs_nothing() -> None:
    """The error names how long it must be, and does not show the key."""
    with pytest.raises(TargetError, match="at least 32") as caught:
        Tokens(key="short secret").headers("api", "rates:write")
    assert "short secret" not in str(caught.value)


def test_every_audience_has_scopes_and_every_scope_an_audience() -> None:
    """`perfcheck token` without --scope leaves nothing out."""
    assert set(SCOPES_OF) == set(AUDIENCES)
    assert sorted(scope for scopes in SCOPES_OF.values() for scope in scopes) == sorted(SCOPES)

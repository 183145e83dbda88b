import pytest
from perfcheck_chassis.identity import ConsistencyTokens, TokenError, TokenKeys
from perfcheck_chassis.secret import Secret

OLD, NEW = Secret("o" * 32), Secret("n" * 32)


class Wall:
    """A calendar clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return seconds since 1970."""
        return self.now


def test_a_token_names_source_and_number() -> None:
    """What was issued is read again, whatever the number."""
    tokens = ConsistencyTokens(TokenKeys(NEW))
    assert tokens.verify(tokens.issue("api", 1)) == ("api", 1)
    assert tokens.verify(tokens.issue("shop.eu", 2**63 - 1)) == ("shop.eu", 2**63 - 1)


def test_a_token_outlives_a_change_of_keys() -> None:
    """One signed by the previous key is accepted, one signed by a key that is gone is not."""
    text = ConsistencyTokens(TokenKeys(OLD)).issue("api", 7)
    assert ConsistencyTokens(TokenKeys(NEW, OLD)).verify(text) == ("api", 7)
    with pytest.raises(TokenError, match="not known here"):
        ConsistencyTokens(TokenKeys(NEW)).verify(text)


def test_a_token_lives_five_minutes() -> None:
    """It is refused once it is older, the leeway of clocks included."""
    wall = Wall()
    tokens = ConsistencyTokens(TokenKeys(NEW, now=wall))
    text = tokens.issue("api", 7)
    wall.now += 300
    assert tokens.verify(text) == ("api", 7)
    wall.now += 11
    with pytest.raises(TokenError, match="has expired"):
        tokens.verify(text)


def test_other_tokens_are_none() -> None:
    """A service token for the same audience is no consistency token, nor is any other text."""
    keys = TokenKeys(NEW)
    warm = keys.issue(subject="revalidator", audience="frontend-bff", scopes=["cache:warm"])
    odd = keys.issue(subject="api", audience="frontend-bff", scopes=["consistency"])
    for text in (warm, odd, "", "a.b.c"):
        with pytest.raises(TokenError):
            ConsistencyTokens(keys).verify(text)


def test_what_no_token_can_name_is_refused() -> None:
    """A negative number or a source with strange characters is the issuer's mistake."""
    tokens = ConsistencyTokens(TokenKeys(NEW))
    for source, number in (("api", -1), ("a:b", 1), ("", 1)):
        with pytest.raises(ValueError, match="a token cannot hold"):
            tokens.issue(source, number)


def test_without_a_key_nothing_is_issued() -> None:
    """The error names the setting."""
    with pytest.raises(TokenError, match="PERFCHECK_TOKEN_KEY"):
        ConsistencyTokens(TokenKeys()).issue("api", 1)

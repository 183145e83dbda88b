import pytest
from perfcheck.exits import WrongUsageError
from perfcheck.stack.tokens import SCOPES_OF, scopes_for


def test_scope_of_another_service_is_refused_with_the_way_to_it() -> None:
    """A token that nobody would accept is not printed; the message names the right audience."""
    with pytest.raises(WrongUsageError, match="add --audience revalidator"):
        scopes_for("api", ["dead-letters"])


def test_all_scopes_of_the_audience_without_a_wish() -> None:
    """Without a wish a token allows all that its audience knows."""
    assert scopes_for("api", []) == SCOPES_OF["api"]
    assert scopes_for("api", ["rates:write"]) == ["rates:write"]

"""Which write a request says is its client's own."""

import pytest
from perfcheck_bff.consistency import OwnWrites
from perfcheck_chassis.identity import ConsistencyTokens, TokenKeys
from perfcheck_chassis.secret import Secret

OLD, NEW = Secret("o" * 32), Secret("n" * 32)


def keys(*secrets: Secret) -> TokenKeys:
    """Return keys by a clock that stands still, as the tokens below were made long ago."""
    return TokenKeys(*secrets, now=lambda: 1_800_000_000.0)


TOKENS = ConsistencyTokens(keys(NEW))
TOKEN = TOKENS.issue("api", 7).encode()
Fields = list[tuple[bytes, bytes]]


class Wall:
    """A calendar clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return seconds since 1970."""
        return self.now


@pytest.mark.parametrize(
    "fields",
    [
        [(b"consistency-token", TOKEN)],
        [(b"consistency-token", b" " + TOKEN + b" ")],
        [(b"cookie", b"consistency-token=" + TOKEN)],
        [(b"cookie", b"theme=dark;consistency-token=" + TOKEN + b"; a=b")],
        [(b"cookie", b'consistency-token="' + TOKEN + b'"')],
        [(b"cookie", b"theme=dark"), (b"cookie", b"consistency-token=" + TOKEN)],
        [(b"cookie", b"consistency-token=" + TOKEN), (b"cookie", b"theme=dark")],
        [(b"cookie", b"xconsistency-token=no"), (b"consistency-token", TOKEN)],
    ],
)
def test_a_token_is_read_from_field_or_cookie(fields: Fields) -> None:
    """Wherever it stands among other fields and cookies, it names source and number."""
    own = OwnWrites(keys(NEW))
    assert own([(b"host", b"test"), *fields]) == ("api", 7)
    assert own.refused == 0


def test_the_field_counts_before_the_cookie() -> None:
    """A client that sends both means the field, wherever it stands."""
    own = OwnWrites(keys(NEW))
    field, cookie = (b"consistency-token", TOKEN), (b"cookie", b"consistency-token=no")
    assert own([field, cookie]) == own([cookie, field]) == ("api", 7)
    assert own.refused == 0


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"cookie", b"theme=dark; session=1")],
        [(b"cookie", b"xconsistency-token=" + TOKEN)],
        [(b"cookie", b"consistency-token=")],
        [(b"cookie", b"a=consistency-token=b")],
    ],
)
def test_a_request_without_a_token_says_nothing(fields: Fields) -> None:
    """Other cookies, also those with a name that is nearly it, are none, and are not counted."""
    own = OwnWrites(keys(NEW))
    assert own(fields) is None
    assert own.refused == 0


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"a.b.c",
        TOKEN[:-4] + b"AAAA",
        b"\xff" * 1000,
        b"." * 1000,
        TOKEN + b"A" * 1024,
        ConsistencyTokens(keys(OLD)).issue("api", 7).encode(),
        keys(NEW).issue(subject="api:7", audience="frontend-bff", scopes=["cache:warm"]).encode(),
    ],
)
def test_what_is_no_valid_token_is_left_out_of_account(token: bytes) -> None:
    """Forged, foreign, broken and oversized ones are counted, and cost nobody a wait."""
    own = OwnWrites(keys(NEW))
    assert own([(b"consistency-token", token)]) is None
    assert own.refused == 1


def test_a_token_that_has_run_out_is_left_out_of_account() -> None:
    """After five minutes, and the leeway of clocks, its client gets what others get."""
    wall = Wall()
    both = TokenKeys(NEW, now=wall)
    own = OwnWrites(both)
    field = (b"consistency-token", ConsistencyTokens(both).issue("api", 7).encode())
    assert own([field]) == ("api", 7)
    wall.now += 311
    assert own([field]) is None
    assert own.refused == 1


def test_both_keys_count_while_they_are_changed() -> None:
    """A token of the previous key is still good, and without a key none is."""
    field = (b"consistency-token", ConsistencyTokens(keys(OLD)).issue("api", 7).encode())
    assert OwnWrites(keys(NEW, OLD))([field]) == ("api", 7)
    without = OwnWrites(keys())
    assert without([field]) is None
    assert without.refused == 1

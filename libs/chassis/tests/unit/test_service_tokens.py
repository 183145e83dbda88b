"""Service tokens: what is signed is accepted by whom it is meant for, and nothing else is."""

import base64
import json

import jwt
import pytest
from perfcheck_chassis.identity import Caller, TokenError, TokenKeys
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import TOKEN_LIFETIME_S_MAX

NOW = 1_800_000_000.0
OLD = Secret("o" * 32)
NEW = Secret("n" * 32)


class Clock:
    """A time of day that stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


def issue(keys: TokenKeys, **changes: object) -> str:
    """Sign a token for the api that allows writing rates."""
    options: dict[str, object] = {
        "subject": "cli",
        "audience": "api",
        "scopes": ("rates:write",),
    }
    return keys.issue(**(options | changes))  # type: ignore[arg-type]  # a mixture of types


def accept(keys: TokenKeys, token: str) -> str:
    """Verify a token as the api does for a write; return who sent it."""
    return keys.verify(token, audience="api", scope="rates:write").subject


def forge(key: Secret, claims: dict[str, object], **header: object) -> str:
    """Sign any claims with a key, naming it as `TokenKeys` does unless `header` says otherwise."""
    kid = jwt.get_unverified_header(issue(TokenKeys(key)))["kid"]
    return jwt.encode(claims, key.reveal(), algorithm="HS256", headers={"kid": kid} | header)


def claims(**changes: object) -> dict[str, object]:
    """Return the claims of a good token at `NOW`, changed; None leaves one out."""
    found: dict[str, object] = {
        "iss": "cli",
        "sub": "cli",
        "aud": "api",
        "iat": int(NOW),
        "exp": int(NOW) + 60,
        "scope": "rates:write",
    }
    return {name: value for name, value in (found | changes).items() if value is not None}


def test_a_good_token_names_its_sender_and_all_its_scopes(clock: Clock) -> None:
    """What one side signs the other accepts, with the subject and every scope in it."""
    keys = TokenKeys(NEW, now=clock)
    token = issue(keys, scopes=("rates:write", "invalidations:write"))
    caller = keys.verify(token, audience="api", scope="invalidations:write")
    assert caller == Caller("cli", frozenset({"rates:write", "invalidations:write"}))


def test_a_token_for_another_service_is_refused(clock: Clock) -> None:
    """The audience counts: a token for the revalidator opens nothing at the api."""
    keys = TokenKeys(NEW, now=clock)
    with pytest.raises(TokenError, match="not meant for api"):
        accept(keys, issue(keys, audience="revalidator"))


@pytest.mark.parametrize("scopes", [(), ("rates:read",), ("rates:write2",), ("rates",)])
def test_a_token_without_the_scope_is_refused(clock: Clock, scopes: tuple[str, ...]) -> None:
    """A scope is a whole word: neither a part of it nor a longer one will do."""
    keys = TokenKeys(NEW, now=clock)
    with pytest.raises(TokenError, match="does not allow rates:write"):
        accept(keys, issue(keys, scopes=scopes))


@pytest.mark.parametrize(
    ("after_s", "accepted"), [(-11, False), (-10, True), (0, True), (69, True), (70, False)]
)
def test_a_token_is_good_for_its_lifetime_and_the_leeway(
    *, clock: Clock, after_s: int, accepted: bool
) -> None:
    """Ten seconds are allowed to clocks that disagree, before and after, and no more."""
    keys = TokenKeys(NEW, now=clock)
    token = issue(keys, lifetime_s=60)
    clock.now += after_s
    if accepted:
        assert accept(keys, token) == "cli"
    else:
        with pytest.raises(TokenError, match="has expired"):
            accept(keys, token)


def test_a_token_that_lives_too_long_is_refused(clock: Clock) -> None:
    """Above the limit a token is refused, though its signature is right; at the limit it is not."""
    keys = TokenKeys(NEW, now=clock)
    assert accept(keys, issue(keys, lifetime_s=TOKEN_LIFETIME_S_MAX)) == "cli"
    with pytest.raises(TokenError, match="lifetime is longer than"):
        accept(keys, issue(keys, lifetime_s=TOKEN_LIFETIME_S_MAX + 1))


def test_a_key_is_changed_without_refusing_good_tokens(clock: Clock) -> None:
    """In each step of a rotation the tokens of the step before are accepted; at the end not."""
    before = TokenKeys(OLD, now=clock)
    knows_both = TokenKeys(OLD, NEW, now=clock)
    signs_new = TokenKeys(NEW, OLD, now=clock)
    after = TokenKeys(NEW, None, now=clock)
    old, new = issue(before), issue(signs_new)
    assert [accept(keys, old) for keys in (before, knows_both, signs_new)] == ["cli"] * 3
    assert [accept(keys, new) for keys in (knows_both, signs_new, after)] == ["cli"] * 3
    for keys, token in ((after, old), (before, new)):
        with pytest.raises(TokenError, match="key that is not known here"):
            accept(keys, token)


@pytest.mark.parametrize("kid", ["unknown", "", 7, None, ["a"]])
def test_a_key_id_that_names_no_key_is_refused(clock: Clock, kid: object) -> None:
    """Which key signed must be said, in words that one of ours has."""
    head = {"alg": "HS256", "typ": "JWT", "kid": kid}
    _, body, signature = forge(NEW, claims()).split(".")
    token = f"{encoded(head)}.{body}.{signature}"
    with pytest.raises(TokenError):
        accept(TokenKeys(NEW, now=clock), token)


def encoded(part: object) -> str:
    """Return JSON in base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "HS384", "HS512", "RS256"])
def test_another_algorithm_is_refused(clock: Clock, algorithm: str) -> None:
    """Only HS256: a token cannot choose to be unsigned, nor how it is verified."""
    keys = TokenKeys(NEW, now=clock)
    head = jwt.get_unverified_header(issue(keys)) | {"alg": algorithm}
    for signature in ("", issue(keys).rpartition(".")[2]):
        with pytest.raises(TokenError):
            accept(keys, f"{encoded(head)}.{encoded(claims())}.{signature}")


def test_a_well_signed_token_of_another_algorithm_is_refused(clock: Clock) -> None:
    """Even the right key does not help a token that was signed with HS512."""
    keys = TokenKeys(Secret("k" * 64), now=clock)
    kid = jwt.get_unverified_header(issue(keys))["kid"]
    token = jwt.encode(claims(), "k" * 64, algorithm="HS512", headers={"kid": kid})
    with pytest.raises(TokenError, match="not valid"):
        accept(keys, token)


def test_a_changed_payload_is_refused(clock: Clock) -> None:
    """Claims under a signature of others are not believed."""
    keys = TokenKeys(NEW, now=clock)
    head, _, signature = issue(keys, scopes=()).split(".")
    with pytest.raises(TokenError, match="Signature verification failed"):
        accept(keys, f"{head}.{encoded(claims())}.{signature}")


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"iat": None},
        {"aud": None},
        {"sub": None},
        {"exp": "tomorrow"},
        {"iat": "now"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"iat": float("nan")},
        {"sub": 7},
        {"sub": ""},
        {"aud": 7},
        {"aud": ["revalidator"]},
        {"scope": None},
        {"scope": ["rates:write"]},
        {"nbf": "never"},
    ],
)
def test_claims_of_a_wrong_form_are_refused(clock: Clock, changes: dict[str, object]) -> None:
    """Whoever holds the key may still be mistaken: what is missing or no number counts for no."""
    with pytest.raises(TokenError):
        accept(TokenKeys(NEW, now=clock), forge(NEW, claims(**changes)))


@pytest.mark.parametrize(
    "garbage", ["", ".", "..", "a.b.c", "x" * 10_000, "ä.ö.ü", "\x00", "eyJhbGciOiJub25lIn0.e30."]
)
def test_garbage_is_refused_in_words(clock: Clock, garbage: str) -> None:
    """Whatever comes, the answer is a `TokenError`, and it does not repeat what came."""
    with pytest.raises(TokenError) as refused:
        accept(TokenKeys(NEW, now=clock), garbage)
    assert len(str(refused.value)) < 200


def test_without_a_key_nothing_is_accepted_or_signed(clock: Clock) -> None:
    """No key: every token is refused, also one signed with an empty key; signing fails."""
    keys = TokenKeys(None, Secret(""), now=clock)
    assert not keys
    with pytest.raises(TokenError, match="PERFCHECK_TOKEN_KEY"):
        issue(keys)
    for token in (issue(TokenKeys(NEW, now=clock)), "", "a.b.c"):
        with pytest.raises(TokenError, match="no token key is configured"):
            accept(keys, token)


@pytest.mark.parametrize("length", [1, 31])
def test_a_short_key_is_refused(length: int) -> None:
    """A key of less than 32 bytes is a mistake of whoever set it; the key is not shown."""
    with pytest.raises(ValueError, match=f"{length} bytes; at least 32") as refused:
        TokenKeys(Secret("s" * length))
    assert "ss" not in str(refused.value)


def test_no_error_shows_a_key(clock: Clock) -> None:
    """Neither a refusal nor the keys themselves print a secret."""
    keys = TokenKeys(NEW, now=clock)
    with pytest.raises(TokenError) as refused:
        accept(keys, issue(TokenKeys(OLD, now=clock)))
    assert NEW.reveal() not in f"{refused.value!r} {keys!r} {keys}"

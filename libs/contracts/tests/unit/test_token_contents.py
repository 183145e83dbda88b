"""What a service token says, whoever signs it."""

from perfcheck_contracts import key_id, token_claims


def test_claims_name_sender_receiver_scopes_and_end() -> None:
    """Scopes are words in order, times are whole seconds."""
    claims = token_claims(
        subject="cli",
        audience="api",
        scopes={"rates:write", "invalidations:write"},
        issued_s=1_800_000_000.9,
        lifetime_s=60,
    )
    assert claims == {
        "iss": "cli",
        "sub": "cli",
        "aud": "api",
        "iat": 1_800_000_000,
        "exp": 1_800_000_060,
        "scope": "invalidations:write rates:write",
    }


def test_a_key_id_is_the_same_everywhere_and_tells_nothing() -> None:
    """It is the beginning of the key's SHA-256, stored here as others compute it."""
    assert key_id(b"k" * 32) == "5e318f8cf9cbe249"

import pytest
from perfcheck_api.db import conninfo
from perfcheck_api.settings import Settings
from perfcheck_chassis.secret import Secret
from perfcheck_chassis.settings import SettingsError, load

NEEDED = {
    "PERFCHECK_DATABASE_URL": "postgresql://user:hush@db/rates",
    "PERFCHECK_NATS_URL": "nats://nats:4222",
}


def test_defaults_suit_a_small_service() -> None:
    """Two addresses are needed, all else has a value."""
    settings = load(Settings, NEEDED)
    assert (settings.pool_size_min, settings.pool_size_max) == (2, 10)
    assert (settings.pool_timeout_s, settings.statement_timeout_s) == (2.0, 5.0)
    assert settings.body_bytes_max == 65_536
    assert settings.instance_id.startswith("api-")


def test_the_password_is_not_shown() -> None:
    """Neither settings nor an error about them print it."""
    assert "hush" not in repr(load(Settings, NEEDED))


@pytest.mark.parametrize(
    "variable", ["POOL_SIZE_MAX", "POOL_TIMEOUT_S", "STATEMENT_TIMEOUT_S", "BODY_BYTES_MAX"]
)
def test_limits_that_are_none_are_refused(variable: str) -> None:
    """Zero would mean no requests at all, or no bound."""
    with pytest.raises(SettingsError, match=f"PERFCHECK_{variable}"):
        load(Settings, {**NEEDED, f"PERFCHECK_{variable}": "0"})


def test_pool_that_cannot_be_is_refused() -> None:
    """More connections kept than there may be: both settings are named."""
    environ = {**NEEDED, "PERFCHECK_POOL_SIZE_MIN": "20", "PERFCHECK_POOL_SIZE_MAX": "10"}
    with pytest.raises(SettingsError, match=r"POOL_SIZE_MIN: 20 is above PERFCHECK_POOL_SIZE_MAX"):
        load(Settings, environ)


def test_connections_bound_every_wait() -> None:
    """Connecting, statements, locks and idle transactions end; a lost peer is noticed."""
    text = conninfo(Secret(NEEDED["PERFCHECK_DATABASE_URL"]), name="x", statement_timeout_s=1.5)
    for part in (
        "connect_timeout=3",
        "statement_timeout=1500",
        "lock_timeout=1500",
        "idle_in_transaction_session_timeout=3000",
        "tcp_user_timeout=10000",
    ):
        assert part in text

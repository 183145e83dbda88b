import os
import socket
from typing import Annotated, ClassVar

import msgspec
import pytest
from perfcheck_chassis.secret import Secret
from perfcheck_chassis.settings import ServiceSettings, SettingsError, load
from perfcheck_contracts.limits import DRAIN_S_MAX, TASK_STOP_S_MAX, WORKER_STOP_S


class ShopSettings(ServiceSettings, frozen=True, kw_only=True):
    service: ClassVar[str] = "shop"

    database_url: Secret
    pool_size_min: Annotated[int, msgspec.Meta(ge=1)] = 2
    pool_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    strict: bool = False
    token: Secret | None = None


def test_fields_come_from_prefixed_variables() -> None:
    """Each field is read from its upper-case variable and converted to its type."""
    environ = {
        "PERFCHECK_DATABASE_URL": "postgresql://u:p@h/d",
        "PERFCHECK_POOL_SIZE_MIN": "7",
        "PERFCHECK_POOL_TIMEOUT_S": "0.5",
        "PERFCHECK_STRICT": "true",
        "PERFCHECK_PORT": "9001",
        "UNRELATED": "x",
    }
    settings = load(ShopSettings, environ)
    assert settings.database_url.reveal() == "postgresql://u:p@h/d"
    assert settings.pool_size_min == 7
    assert settings.pool_timeout_s == 0.5
    assert settings.strict is True
    assert settings.port == 9001
    assert settings.token is None


def test_defaults_name_the_process() -> None:
    """Without an instance id the process is named by service, host and pid."""
    settings = load(ShopSettings, {"PERFCHECK_DATABASE_URL": "x"})
    assert settings.instance_id == f"shop-{socket.gethostname()}-{os.getpid()}"
    assert settings.host == "127.0.0.1"
    assert settings.port == 8000
    assert settings.log_level == "INFO"
    assert settings.drain_s == 0


def test_all_problems_are_told_at_once() -> None:
    """One error lists every missing, malformed and out-of-range variable."""
    environ = {
        "PERFCHECK_PORT": "abc",
        "PERFCHECK_POOL_SIZE_MIN": "0",
        "PERFCHECK_LOG_LEVEL": "LOUD",
        "PERFCHECK_STRICT": "perhaps",
        "PERFCHECK_DRAIN_S": "inf",
    }
    with pytest.raises(SettingsError) as caught:
        load(ShopSettings, environ)
    assert sorted(caught.value.problems) == [
        "PERFCHECK_DATABASE_URL: required, but not set",
        "PERFCHECK_DRAIN_S: expected a number <= 80.0, got 'inf'",
        "PERFCHECK_LOG_LEVEL: not one of the allowed values, got 'LOUD'",
        "PERFCHECK_POOL_SIZE_MIN: expected an integer >= 1, got '0'",
        "PERFCHECK_PORT: expected an integer, got 'abc'",
        "PERFCHECK_STRICT: expected true or false, got 'perhaps'",
    ]
    assert "PERFCHECK_PORT" in str(caught.value)


def test_drain_that_outlasts_the_task_is_refused() -> None:
    """A drain after which the worker cannot stop within ECS's longest `stopTimeout` is an error."""
    environ = {"PERFCHECK_DATABASE_URL": "x", "PERFCHECK_DRAIN_S": str(DRAIN_S_MAX)}
    assert load(ShopSettings, environ).drain_s + WORKER_STOP_S < TASK_STOP_S_MAX
    for text in (str(DRAIN_S_MAX + 1), "120"):
        with pytest.raises(SettingsError, match=r"PERFCHECK_DRAIN_S: expected a number <= 80"):
            load(ShopSettings, environ | {"PERFCHECK_DRAIN_S": text})


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_numbers_must_be_finite(text: str) -> None:
    """A setting that is no finite number is refused even where no bound would catch it."""
    environ = {"PERFCHECK_DATABASE_URL": "x", "PERFCHECK_POOL_TIMEOUT_S": text}
    with pytest.raises(SettingsError, match="PERFCHECK_POOL_TIMEOUT_S: expected a"):
        load(ShopSettings, environ)


def test_empty_variable_counts_as_unset() -> None:
    """An empty variable gives the default, or is missing when there is none."""
    with pytest.raises(SettingsError, match="PERFCHECK_DATABASE_URL: required"):
        load(ShopSettings, {"PERFCHECK_DATABASE_URL": ""})
    environ = {"PERFCHECK_DATABASE_URL": "x", "PERFCHECK_PORT": ""}
    assert load(ShopSettings, environ).port == 8000


def test_secret_never_shows() -> None:
    """A secret is `***` in text, in repr and in the repr of the settings that hold it."""
    settings = load(ShopSettings, {"PERFCHECK_DATABASE_URL": "hunter2"})
    assert "hunter2" not in repr(settings)
    assert f"{settings.database_url}" == "***"
    assert settings.database_url == Secret("hunter2")
    assert hash(settings.database_url) == hash(Secret("hunter2"))

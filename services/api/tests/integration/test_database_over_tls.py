"""TLS to PostgreSQL: the right authority is let through, everything else is refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from perfcheck_api.db import DatabaseError, connect
from perfcheck_api.settings import DatabaseSettings
from perfcheck_chassis.secret import Secret
from perfcheck_embedded import LOOPBACK, Servers, TlsFiles, tls_front


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """Give an authority whose certificate lies in `ours.pem`; `other.pem` is of another."""
    found = trustme.CA()
    found.cert_pem.write_to_path(tmp_path / "ours.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    return found


@pytest.fixture
async def url(
    request: pytest.FixtureRequest, running: Servers, authority: trustme.CA, tmp_path: Path
) -> AsyncIterator[str]:
    """Give the address of PostgreSQL behind TLS, with a certificate for the host in the request."""
    issued = authority.issue_cert(getattr(request, "param", LOOPBACK))
    files = TlsFiles(certificate=tmp_path / "server.pem", key=tmp_path / "server.key")
    issued.cert_chain_pems[0].write_to_path(files.certificate)
    issued.private_key_pem.write_to_path(files.key)
    plain = urlsplit(running.database_url)
    assert plain.port is not None
    async with tls_front(plain.port, files, postgres=True) as port:
        yield running.database_url.replace(f":{plain.port}/", f":{port}/") + "?sslmode=verify-full"


async def _ask(url: str, ca_file: str) -> tuple[object, bool]:
    settings = DatabaseSettings(database_url=Secret(url), tls_ca_file=ca_file)
    async with connect(settings.database_url, name="test", statement_timeout_s=5) as connection:
        row = await (await connection.execute("SELECT 1")).fetchone()
        return row, bool(connection.pgconn.ssl_in_use)


async def test_the_right_authority_is_let_through(url: str, tmp_path: Path) -> None:
    """With its file the statement runs, over TLS."""
    assert await _ask(url, str(tmp_path / "ours.pem")) == ((1,), True)


@pytest.mark.parametrize("trusted", ["other.pem", ""])
async def test_an_unknown_authority_is_refused(url: str, trusted: str, tmp_path: Path) -> None:
    """Another authority's file, or none: the reason is told, and the password is not."""
    with pytest.raises(DatabaseError, match="certificate verify failed") as refused:
        await _ask(url, str(tmp_path / trusted) if trusted else "")
    assert str(urlsplit(url).password) not in str(refused.value)


@pytest.mark.parametrize("url", ["elsewhere.example"], indirect=True)
async def test_a_certificate_of_another_host_is_refused(url: str, tmp_path: Path) -> None:
    """The authority is right, the name is not."""
    with pytest.raises(DatabaseError, match="does not match host name"):
        await _ask(url, str(tmp_path / "ours.pem"))


async def test_a_server_without_tls_is_refused(
    running: Servers, authority: trustme.CA, tmp_path: Path
) -> None:
    """PostgreSQL itself, which the wheel brings without TLS, gets no password."""
    del authority
    with pytest.raises(DatabaseError, match="server does not support SSL"):
        await _ask(running.database_url + "?sslmode=verify-full", str(tmp_path / "ours.pem"))


async def test_a_certificate_in_the_url_wins(url: str, tmp_path: Path) -> None:
    """Who names the authority in the URL means it."""
    named = f"{url}&sslrootcert={tmp_path / 'ours.pem'}"
    assert await _ask(named, str(tmp_path / "other.pem")) == ((1,), True)

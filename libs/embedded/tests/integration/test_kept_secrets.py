"""Passwords and keys of an installation, and the servers that want them."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis.asyncio as redis
from asgi_isr.errors import LogUnavailableError
from asgi_isr.logs.nats import close, connect
from perfcheck_embedded import Servers, StateDir, StateError, kept_secret, servers
from perfcheck_embedded.backends.nats_accounts import TEST_USERS


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Give the path of a state directory."""
    return tmp_path / "state"


def test_a_secret_is_made_once_and_closed_to_others(state: Path) -> None:
    """It outlives the run, lies in a file of mode 0600 below a directory of mode 0700."""
    with StateDir(state) as first:
        secret = kept_secret(first, "token.key")
        assert len(secret.encode()) >= 32
        assert kept_secret(first, "other.key") != secret
    with StateDir(state) as second:
        assert kept_secret(second, "token.key") == secret
    assert stat.S_IMODE((state / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((state / "secrets/token.key").stat().st_mode) == 0o600


def test_a_fresh_start_makes_new_secrets(state: Path) -> None:
    """What was known to somebody before is worth nothing then."""
    with StateDir(state) as first:
        secret = kept_secret(first, "token.key")
    with StateDir(state, fresh=True) as second:
        assert kept_secret(second, "token.key") != secret


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.chmod(0o640), "is open to other accounts"),
        (lambda path: path.write_text("\n"), "is empty"),
    ],
)
def test_a_secret_that_cannot_be_trusted_is_refused(
    state: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    """One that others could read, or that is none, is named, and so is the way out."""
    with StateDir(state) as opened:
        kept_secret(opened, "token.key")
        spoil(state / "secrets/token.key")
        with pytest.raises(StateError, match=f"token.key {reason}.*delete it"):
            kept_secret(opened, "token.key")


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    """Give Valkey and NATS."""
    with servers(postgres=False) as started:
        yield started


async def test_valkey_wants_its_password(running: Servers) -> None:
    """Without it, and with another, nothing is read or written."""
    address = running.valkey_url.rpartition("@")[2]
    async with redis.Redis.from_url(f"redis://{address}") as nobody:
        with pytest.raises(redis.AuthenticationError, match="authenticat"):
            await nobody.get("a")
    async with redis.Redis.from_url(f"redis://:wrong@{address}") as stranger:
        with pytest.raises(redis.AuthenticationError, match="invalid"):
            await stranger.get("a")


@pytest.mark.parametrize("user", ["", "api:wrong@", "nobody:x@", "api:@"])
async def test_nats_lets_only_its_users_in(running: Servers, user: str) -> None:
    """Without a user, or with a wrong password, there is no connection."""
    address = running.nats_url.rpartition("@")[2]
    with pytest.raises(
        LogUnavailableError, match="cannot connect to NATS at nats://127"
    ) as refused:
        await connect(f"nats://{user}{address}", name="test")
    assert "wrong" not in str(refused.value)


async def test_every_user_has_an_address(running: Servers) -> None:
    """Each service, the command line, and the tests' own user."""
    services = ["api", "frontend-bff", "revalidator"]
    assert set(running.nats_urls) == {*services, "cli", "shop", *TEST_USERS}
    for name, url in running.nats_urls.items():
        assert urlsplit(url).username == name
        client = await connect(url, name="test", timeout_s=10)
        assert client.is_connected
        await close(client)


def test_no_secret_stands_where_others_can_read(running: Servers) -> None:
    """Not in the arguments or environment of a process, nor in a file that is open or a log."""
    secrets = {
        path.name: path.read_text().strip() for path in (running.directory / "secrets").iterdir()
    }
    assert set(secrets) >= {"valkey.password", "nats-api.password", "nats-test.password"}
    for pid in running.pids().values():
        process = psutil.Process(pid)
        told = json.dumps([process.cmdline(), process.environ()])
        assert not [name for name, secret in secrets.items() if secret in told]
    for path in running.directory.rglob("*"):
        open_to_others = path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077
        if open_to_others or path.suffix == ".log":
            text = path.read_text(errors="replace")
            assert not [name for name, secret in secrets.items() if secret in text], path
    for name in ("nats/nats.conf", "valkey/valkey.conf"):
        path = running.directory / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_uid == os.geteuid()

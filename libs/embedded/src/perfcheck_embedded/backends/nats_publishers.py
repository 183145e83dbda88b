"""The publishers that a state directory keeps: who they are, and how one comes or goes.

A server that runs takes a change without a restart (SIGHUP): nobody else's session is touched. It
activates what an account that it has not known imports only when it reloads again.
"""

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path

import psutil

from perfcheck_embedded.backends.nats_accounts import TEST_USER, accounts
from perfcheck_embedded.backends.nats_configuration import configuration
from perfcheck_embedded.backends.placement import Exclusive
from perfcheck_embedded.errors import EmbeddedError
from perfcheck_embedded.state.credentials import kept_secret, write_secret
from perfcheck_embedded.state.directory import SECRETS, StateDir

__all__ = ["add_publisher", "kept_publishers", "reload", "reload_publishers", "remove_publisher"]

PUBLISHERS_FIRST = ("cli", "shop")
RELOAD_S_MAX = 10.0
RELOADS = 2  # that a new account needs
_LOOK_S = 0.02
_RELOADED = b"Reloaded server configuration"
_RELOAD_REFUSED = b"Failed to reload server configuration"


def kept_publishers(state: StateDir, name: str = "nats") -> tuple[str, ...]:
    """Return the publishers that are kept for the server `name`, at first `PUBLISHERS_FIRST`."""
    try:
        return tuple(json.loads(_registry(state, name).read_bytes()))
    except FileNotFoundError:
        return PUBLISHERS_FIRST
    except ValueError as error:
        raise EmbeddedError(f"{_registry(state, name)} cannot be read: {error}") from error


def add_publisher(state: StateDir, publisher: str, *, name: str = "nats") -> str:
    """Keep `publisher`; return its password, which is new unless it was there already.

    A server that runs knows it once it has been told by `reload_publishers`.

    Raises:
        EmbeddedError: the name cannot be a publisher's.

    """
    with _exclusive(state, name):
        names = kept_publishers(state, name)
        _keep(state, name, names if publisher in names else (*names, publisher))
        return kept_secret(state, _secret(name, publisher))


def remove_publisher(state: StateDir, publisher: str, *, name: str = "nats") -> None:
    """Forget `publisher` and its password.

    Raises:
        EmbeddedError: there is no such publisher, or it is the last one.

    """
    with _exclusive(state, name):
        names = kept_publishers(state, name)
        left = tuple(each for each in names if each != publisher)
        if left == names or not left:
            raise EmbeddedError(
                f"{publisher!r} cannot be removed: the publishers are {', '.join(names)}"
                f"{'' if left else ', and one must stay'}"
            )
        _keep(state, name, left)
        (state.path / SECRETS / _secret(name, publisher)).unlink(missing_ok=True)


async def reload_publishers(state: StateDir, pid: int, *, name: str = "nats") -> None:
    """Have the server with process id `pid` take the publishers that are kept.

    Raises:
        EmbeddedError: it does not, within `RELOAD_S_MAX` each time.

    """
    for _ in range(RELOADS):
        await reload(state, pid, name=name)


async def reload(state: StateDir, pid: int, *, name: str = "nats") -> None:
    """Have the server read its configuration again, once; raises as `reload_publishers` does."""
    log = state.log_path(name)
    before = log.stat().st_size
    try:
        process = psutil.Process(pid)
        if str(_configuration(state, name)) not in process.cmdline():
            raise EmbeddedError(f"process {pid} is not the NATS of {state.path}; try again")
        process.send_signal(signal.SIGHUP)
    except psutil.Error as error:
        raise EmbeddedError(f"NATS does not run any more: {error}") from error
    try:
        async with asyncio.timeout(RELOAD_S_MAX):
            while _RELOADED not in (said := _after(log, before)):
                if _RELOAD_REFUSED in said:
                    raise EmbeddedError(f"NATS refused its new configuration; see {log}")
                await asyncio.sleep(_LOOK_S)
    except TimeoutError as error:
        raise EmbeddedError(f"NATS did not take its new configuration; see {log}") from error


def _keep(state: StateDir, name: str, names: Sequence[str]) -> None:
    """Write the names, and the accounts into the configuration if there is one."""
    accounts(names)  # raises for a bad name before anything is written
    path = _configuration(state, name)
    if path.exists():
        text = path.read_text()
        settings = json.loads(text)
        every = accounts(names, test_users=f'"{TEST_USER}"' in text)
        users = [user.name for account in every for user in account.users]
        passwords = {user: kept_secret(state, _secret(name, user)) for user in users}
        settings["accounts"] = configuration(every, passwords)
        _replace(path, json.dumps(settings, indent=1, ensure_ascii=False))
    _replace(_registry(state, name), json.dumps(list(names)))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    write_secret(new, text)
    new.replace(path)  # in one step: the server may read it at any time


def _after(log: Path, before: int) -> bytes:
    with log.open("rb") as file:
        file.seek(0, 2)
        file.seek(before if file.tell() >= before else 0)  # it was cut meanwhile
        return file.read()


def _exclusive(state: StateDir, name: str) -> Exclusive:
    (state.path / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    return Exclusive(state.path / name / "publishers.lock")


def _configuration(state: StateDir, name: str) -> Path:
    return state.path / name / "nats.conf"


def _registry(state: StateDir, name: str) -> Path:
    return state.path / name / "publishers.json"


def _secret(name: str, user: str) -> str:
    return f"{name}-{user}.password"

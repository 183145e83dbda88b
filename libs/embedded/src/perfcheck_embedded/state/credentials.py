"""Secrets of an installation: made once, kept below the state directory, for their owner's eyes."""

import os
import secrets
import stat
from pathlib import Path

from perfcheck_embedded.accounts import Account
from perfcheck_embedded.errors import StateError
from perfcheck_embedded.state.directory import SECRETS, StateDir

_SECRET_BYTES = 32  # what HS256 wants of a token key (RFC 7518, section 3.2); plenty for a password


def kept_secret(state: StateDir, name: str) -> str:
    """Return the secret `name` of this installation; made on first use, the same ever after.

    It lies in `secrets/<name>` with mode 0600. To change it, delete that file while nothing runs.

    Raises:
        StateError: the file cannot be used: it is empty, or open to others, who may know it.

    """
    directory = state.path / SECRETS
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / name
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise StateError(f"{path} is open to other accounts: delete it, and a new one is made")
        found = path.read_text().strip()
    except FileNotFoundError:
        new = path.with_name(f"{name}.new")
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        write_secret(new, secret)
        new.replace(path)  # in one step: a crash leaves none or all of it
        return secret
    if not found:
        raise StateError(f"{path} is empty: delete it, and a new one is made")
    return found


def write_secret(path: Path, secret: str, account: Account | None = None) -> None:
    """Write `secret` to a new file with mode 0600, owned by `account`; an old one is replaced."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        if account is not None:
            os.fchown(fd, account.uid, account.gid)
        file.write(f"{secret}\n")
        file.flush()
        os.fsync(fd)  # data that outlives a crash needs its password

"""Running PostgreSQL without root's rights, and directories that its account can reach.

No function here changes a directory that was there before: when the account cannot pass through
one, another place is used.
"""

import os
import pwd
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from perfcheck_embedded.errors import AccountError, StateError

_ACCOUNTS = ("postgres", "nobody")
# Survives a reboot and is open to every account, unlike /tmp and private temporary directories.
_SHARED_PARENT = Path("/var/tmp")  # noqa: S108 - the directory below is ours alone, checked on use
_PROBE_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Account:
    """The local account a process runs as, when the supervisor is root."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """Return the account for PostgreSQL, or None to run as the present (ordinary) user.

    Raises:
        AccountError: the present user is root and has neither `postgres` nor `nobody`.

    """
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise AccountError(
        "PostgreSQL does not run as root and there is no account "
        f"{' or '.join(_ACCOUNTS)}; run as an ordinary user, or add one of these accounts"
    )


def run_as(account: Account | None, argv: list[str], *, text: str = "", timeout_s: float) -> str:
    """Run a short command as `account`, feeding it `text`; return what it printed.

    Raises:
        AccountError: it could not be run, took longer than `timeout_s` or failed; with its output.

    """
    try:
        done = subprocess.run(  # noqa: S603 - our own argument lists, no shell
            argv,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C"},
            timeout=timeout_s,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except (OSError, subprocess.SubprocessError) as error:
        who = f" as {account.name}" if account else ""
        raise AccountError(f"cannot run {argv[0]}{who}: {error}") from error
    if done.returncode:
        raise AccountError(f"{argv[0]} failed ({done.returncode}): {done.stdout.strip()}")
    return done.stdout


def can_enter(account: Account | None, directory: Path) -> bool:
    """Return whether `account` may pass through `directory` and all its parents."""
    try:
        run_as(
            account,
            ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)],
            timeout_s=_PROBE_TIMEOUT_S,
        )
    except AccountError:
        return False
    return True


def shared_directory(path: Path | None = None) -> Path:
    """Return a directory of this user that other accounts can pass through but not change.

    It is below /var/tmp unless `path` is given, and is created when missing. It holds what has to
    lie outside closed directories, and what all checkouts share.

    Raises:
        StateError: the path exists and is not safely ours (another account could have made it).

    """
    path = path or _SHARED_PARENT / f"perfcheck-{os.geteuid()}"
    try:
        path.mkdir(mode=0o700)
        path.chmod(0o711)
    except FileExistsError:
        pass
    found = path.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not ours or found.st_mode & 0o022:
        raise StateError(f"{path} is not a directory that only this user can write; remove it")
    return path


def new_shared_subdirectory(prefix: str) -> Path:
    """Return a new directory, uniquely named, in the shared directory; others can pass through."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=shared_directory()))
    path.chmod(0o711)
    return path

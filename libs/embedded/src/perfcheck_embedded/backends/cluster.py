"""PostgreSQL's data directory: where it lies, who owns it, how it is made (once, in one step)."""

import secrets
import shutil
import signal
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from perfcheck_embedded.accounts import Account, run_as, server_account, shared_directory
from perfcheck_embedded.backends.binaries import Binaries
from perfcheck_embedded.backends.placement import (
    VERSION_TIMEOUT_S,
    Exclusive,
    count_files,
    give,
    place_home,
    runnable_programs,
)
from perfcheck_embedded.errors import AccountError, StateError
from perfcheck_embedded.state.credentials import write_secret
from perfcheck_embedded.state.directory import StateDir
from perfcheck_embedded.watchdog import reaping

ROLE = DATABASE = "perfcheck"
FAST_STOP = signal.SIGINT  # SIGTERM would wait for clients to leave
_INITDB_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Data that a server can run on: its directory, owner, password, and the programs to use."""

    path: Path
    account: Account | None
    password: str
    programs: Path


def prepare(state: StateDir, binaries: Binaries, *, name: str, durable: bool) -> Cluster:
    """Return the cluster of this state directory, creating what is missing.

    Throw-away clusters are copies of a template that is made once on each machine.

    Raises:
        EmbeddedError: with the reason; a half-made cluster is made again next time.

    """
    home, account = place_home(state.path / name, server_account())
    programs = runnable_programs(binaries, account)
    password_file = state.path / f"{name}.password"
    path = home / "data"
    if not path.exists():
        if durable:
            _create(home, programs, account, _new_password(password_file), sync=True)
        else:
            template, password = _template(programs, account)
            write_secret(password_file, password)
            new = home / "data.new"
            shutil.rmtree(new, ignore_errors=True)
            run_as(account, ["cp", "-Rp", str(template), str(new)], timeout_s=_INITDB_TIMEOUT_S)
            new.rename(path)
    _check_version(path, programs, account)
    _forget_dead_server(path, account)
    try:
        password = password_file.read_text().strip()
    except OSError as error:
        raise StateError(
            f"the password of {path} is lost ({error}); delete the kept data"
        ) from error
    return Cluster(path=path, account=account, password=password, programs=programs)


def _create(
    home: Path, programs: Path, account: Account | None, password: str, *, sync: bool
) -> None:
    """Make `home`/data in one step: it appears when it is complete."""
    new, password_file = home / "data.new", home / "password.new"
    shutil.rmtree(new, ignore_errors=True)
    write_secret(password_file, password, account)
    initdb = [
        str(programs / "initdb"), "-D", str(new), "-U", "postgres", f"--pwfile={password_file}",
        "--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8", "--no-instructions", *([] if sync else ["--no-sync"]),
    ]  # fmt: skip
    statements = (
        f"CREATE ROLE {ROLE} LOGIN CREATEDB IN ROLE pg_monitor PASSWORD '{password}';\n"
        f"CREATE DATABASE {DATABASE} OWNER {ROLE};\n"
    )
    try:
        run_as(account, initdb, timeout_s=_INITDB_TIMEOUT_S)
        single = [str(programs / "postgres"), "--single", "-D", str(new)]
        single += [] if sync else ["-c", "fsync=off"]
        said = run_as(account, [*single, "postgres"], text=statements, timeout_s=_INITDB_TIMEOUT_S)
    finally:
        password_file.unlink()
    if "ERROR" in said or "FATAL" in said:  # its exit code does not tell
        raise AccountError(f"PostgreSQL could not create the database: {said.strip()}")
    new.rename(home / "data")


def _template(programs: Path, account: Account | None) -> tuple[Path, str]:
    """Return a cluster to copy and its password; made once for each machine, user and server."""
    stat = (programs / "postgres").stat()
    mark = f"{programs}:{stat.st_size}:{stat.st_mtime_ns}:{account and account.uid}:{ROLE}:1"
    root = shared_directory() / f"template-{sha256(mark.encode()).hexdigest()[:12]}"
    home, password_file, complete = root / "home", root / "password", root / "complete"
    with Exclusive(root.with_suffix(".lock")):
        # A cleaner of temporary directories may have taken single files: then it is made again.
        if not complete.exists() or complete.read_text() != count_files(home / "data"):
            shutil.rmtree(root, ignore_errors=True)
            for directory in (
                root,
                home,
            ):  # the account owns `home`; root writes only beside it
                directory.mkdir()
            root.chmod(0o711)
            give(home, account)
            _create(home, programs, account, _new_password(password_file), sync=False)
            complete.write_text(count_files(home / "data"))
        return home / "data", password_file.read_text().strip()


def _check_version(path: Path, programs: Path, account: Account | None) -> None:
    version = run_as(account, [str(programs / "postgres"), "-V"], timeout_s=VERSION_TIMEOUT_S)
    # Read as its owner: root follows no link that another account may have laid.
    data = run_as(account, ["cat", str(path / "PG_VERSION")], timeout_s=VERSION_TIMEOUT_S).strip()
    server = version.split()[2].split(".")[0]
    if server != data:
        raise StateError(
            f"{path} was made by PostgreSQL {data}, the server is {server}: delete the kept "
            "data, or point PERFCHECK_POSTGRES_BIN to the old version"
        )


def _forget_dead_server(path: Path, account: Account | None) -> None:
    """Remove the pid file of a killed server that is not gone because nobody has reaped it.

    PostgreSQL takes such a zombie for a running server; where process 1 is slow to reap, or in a
    container never does, it would refuse to start.
    """
    try:
        text = run_as(account, ["cat", str(path / "postmaster.pid")], timeout_s=VERSION_TIMEOUT_S)
    except AccountError:
        return  # stopped in order
    pid = text.partition("\n")[0].strip()
    if pid.isdigit() and not reaping.exists(int(pid)):
        run_as(account, ["rm", "-f", str(path / "postmaster.pid")], timeout_s=VERSION_TIMEOUT_S)


def _new_password(path: Path) -> str:
    password = secrets.token_urlsafe(24)
    write_secret(path, password)
    return password

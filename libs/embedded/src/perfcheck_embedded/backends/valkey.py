"""Valkey as a supervised process: a cache, so nothing of it is kept."""

from pathlib import Path

from perfcheck_embedded.backends.binaries import Binaries
from perfcheck_embedded.backends.probes import valkey_ready
from perfcheck_embedded.backends.server import SERVER_ENVIRONMENT, Server
from perfcheck_embedded.ports import LOOPBACK
from perfcheck_embedded.processes.process import Process
from perfcheck_embedded.state.credentials import kept_secret, write_secret
from perfcheck_embedded.state.directory import StateDir

_MEMORY_BYTES_MAX = 256 * 1024 * 1024


def valkey(
    state: StateDir, binaries: Binaries, *, port: int, restart: bool = False, name: str = "valkey"
) -> Server:
    """Return Valkey on 127.0.0.1:`port`, bounded in memory (least recently used goes first).

    Its password is made for this state directory and kept there, readable by its owner alone.
    """
    directory = state.path / name
    directory.mkdir(mode=0o700, exist_ok=True)
    password = kept_secret(state, f"{name}.password")
    settings = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(directory),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "maxmemory": str(_MEMORY_BYTES_MAX),
        "maxmemory-policy": "allkeys-lru",
        "requirepass": password,
    }
    # A file, since every account of the machine can read the arguments of a process.
    config = directory / "valkey.conf"
    write_secret(config, "\n".join(f"{key} {_quoted(value)}" for key, value in settings.items()))
    process = Process(
        name=name,
        argv=[str(binaries.valkey_server), str(config)],
        env=SERVER_ENVIRONMENT,
        ready=valkey_ready(port, password=password),
        port=port,
        restart=restart,
        cwd=Path("/"),
    )
    return Server(process=process, url=f"redis://:{password}@{LOOPBACK}:{port}/0")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

"""Valkey as a supervised process: a cache, so nothing of it is kept."""

from pathlib import Path

from perfcheck_embedded.binaries import Binaries
from perfcheck_embedded.ports import HOST
from perfcheck_embedded.probes import valkey_ready
from perfcheck_embedded.process import Process
from perfcheck_embedded.server import SERVER_ENVIRONMENT, Server
from perfcheck_embedded.state import StateDir

_MEMORY_BYTES_MAX = 256 * 1024 * 1024


def valkey(
    state: StateDir, binaries: Binaries, *, port: int, restart: bool = False, name: str = "valkey"
) -> Server:
    """Return Valkey on 127.0.0.1:`port`, bounded in memory (least recently used goes first)."""
    directory = state.path / name
    directory.mkdir(mode=0o700, exist_ok=True)
    settings = {
        "bind": HOST,
        "port": str(port),
        "dir": str(directory),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "maxmemory": str(_MEMORY_BYTES_MAX),
        "maxmemory-policy": "allkeys-lru",
    }
    options = [part for key, value in settings.items() for part in (f"--{key}", value)]
    process = Process(
        name=name,
        argv=[str(binaries.valkey_server), *options],
        env=SERVER_ENVIRONMENT,
        ready=valkey_ready(port),
        restart=restart,
        cwd=Path("/"),
    )
    return Server(process=process, url=f"redis://{HOST}:{port}/0")

"""NATS with JetStream as a supervised process."""

import json
import os
from pathlib import Path

from perfcheck_embedded.binaries import Binaries
from perfcheck_embedded.ports import HOST
from perfcheck_embedded.probes import nats_ready
from perfcheck_embedded.process import Process
from perfcheck_embedded.server import SERVER_ENVIRONMENT, Server
from perfcheck_embedded.state import StateDir

_FILE_BYTES_MAX = 2 * 1024 * 1024 * 1024  # the log alone may take half
_MEMORY_BYTES_MAX = 64 * 1024 * 1024
# An acknowledged message is in the kernel's hands, so a killed server loses none; only a crash of
# the whole machine can take the last second. That also empties the caches that would have needed
# those messages, so a sync for each message would buy nothing.
_SYNC_INTERVAL_DURABLE = "1s"
_SYNC_INTERVAL_THROW_AWAY = "10m"


def nats(
    state: StateDir,
    binaries: Binaries,
    *,
    port: int,
    durable: bool = True,
    restart: bool = False,
    name: str = "nats",
) -> Server:
    """Return NATS on 127.0.0.1:`port`, streams kept in files below the state directory."""
    directory = state.path / name
    directory.mkdir(mode=0o700, exist_ok=True)
    config = directory / "nats.conf"
    settings = {
        "server_name": f"perfcheck-{name}",
        "host": HOST,
        "port": port,
        "jetstream": {
            "store_dir": str(directory),
            "max_file_store": _FILE_BYTES_MAX,
            "max_memory_store": _MEMORY_BYTES_MAX,
            "sync_interval": _SYNC_INTERVAL_DURABLE if durable else _SYNC_INTERVAL_THROW_AWAY,
        },
    }
    # Its configuration language contains JSON, but no \u escapes: letters stay as they are.
    config.write_bytes(os.fsencode(json.dumps(settings, indent=1, ensure_ascii=False)))
    process = Process(
        name=name,
        argv=[str(binaries.nats_server), "--config", str(config)],
        env=SERVER_ENVIRONMENT,
        ready=nats_ready(port),
        restart=restart,
        cwd=Path("/"),
    )
    return Server(process=process, url=f"nats://{HOST}:{port}")

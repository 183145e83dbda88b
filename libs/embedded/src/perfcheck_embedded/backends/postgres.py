"""PostgreSQL as a supervised process, on data that `cluster` prepares."""

from pathlib import Path

from perfcheck_embedded.backends import cluster
from perfcheck_embedded.backends.binaries import Binaries
from perfcheck_embedded.backends.probes import postgres_ready
from perfcheck_embedded.backends.server import SERVER_ENVIRONMENT, Server
from perfcheck_embedded.ports import LOOPBACK
from perfcheck_embedded.processes.process import Process, Stragglers
from perfcheck_embedded.state.directory import StateDir

_COMMON_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a socket's path has a length limit that a state path exceeds
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",  # compiling costs more than the small queries here
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_DURABLE_SETTINGS = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
# A commit still reaches the kernel before it is acknowledged: killing the server loses nothing,
# only a crash of the machine would. Shared memory in files of the data directory goes with it.
_THROW_AWAY_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "dynamic_shared_memory_type": "mmap",
}


def postgres(
    state: StateDir,
    binaries: Binaries,
    *,
    port: int,
    durable: bool = True,
    restart: bool = False,
    name: str = "postgres",
) -> Server:
    """Return PostgreSQL on 127.0.0.1:`port`; creates its data on first use (blocks for seconds).

    Database and role are both called `perfcheck` (the role may create databases, is no superuser);
    the password is made for this state directory and kept there, readable by its owner alone.

    Raises:
        EmbeddedError: no account to run as, an unusable directory, or initdb's own complaint.

    """
    data = cluster.prepare(state, binaries, name=name, durable=durable)
    settings = _COMMON_SETTINGS | (_DURABLE_SETTINGS if durable else _THROW_AWAY_SETTINGS)
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    process = Process(
        name=name,
        argv=[str(data.programs / "postgres"), "-D", str(data.path), "-p", str(port), *options],
        env=SERVER_ENVIRONMENT,
        ready=postgres_ready(port, user=cluster.ROLE, database=cluster.DATABASE),
        port=port,
        stop_signal=cluster.FAST_STOP,
        stop_grace_s=20.0,  # a checkpoint of kept data
        start_timeout_s=60.0,  # recovery after a crash
        restart=restart,
        user=data.account,
        cwd=Path("/"),
        stragglers=Stragglers(program="postgres", directory=data.path),
    )
    return Server(
        process=process,
        url=f"postgresql://{cluster.ROLE}:{data.password}@{LOOPBACK}:{port}/{cluster.DATABASE}",
    )

"""Real PostgreSQL, Valkey and NATS out of PyPI wheels, and the supervisor that runs them.

Two ways in: `servers()` gives tests throw-away servers; `StateDir` + `Supervisor` + `postgres()`,
`valkey()`, `nats()` and `Process` build a stack whose data is kept.
"""

from perfcheck_embedded.accounts import Account, new_shared_subdirectory
from perfcheck_embedded.backends.binaries import Binaries, find_binaries
from perfcheck_embedded.backends.nats import nats
from perfcheck_embedded.backends.nats_publishers import (
    add_publisher,
    kept_publishers,
    reload_publishers,
    remove_publisher,
)
from perfcheck_embedded.backends.postgres import postgres
from perfcheck_embedded.backends.probes import http_ready, nats_ready, postgres_ready, valkey_ready
from perfcheck_embedded.backends.server import Server, TlsFiles
from perfcheck_embedded.backends.tls_front import tls_front
from perfcheck_embedded.backends.valkey import valkey
from perfcheck_embedded.errors import (
    AccountError,
    BinaryMissingError,
    EmbeddedError,
    PortTakenError,
    ProcessFailedError,
    StateError,
    StateLockedError,
    StopRequestedError,
)
from perfcheck_embedded.ports import LOOPBACK, free_port, free_ports
from perfcheck_embedded.processes.process import (
    Event,
    OnEvent,
    Probe,
    Process,
    Stragglers,
    start_levels,
)
from perfcheck_embedded.processes.restarts import RestartBudget, RestartPolicy
from perfcheck_embedded.processes.supervised import supervised
from perfcheck_embedded.processes.supervisor import STOP_SIGNALS, Supervisor
from perfcheck_embedded.state.credentials import kept_secret
from perfcheck_embedded.state.directory import StateDir
from perfcheck_embedded.throw_away import Servers, servers

__all__ = [
    "LOOPBACK",
    "STOP_SIGNALS",
    "Account",
    "AccountError",
    "Binaries",
    "BinaryMissingError",
    "EmbeddedError",
    "Event",
    "OnEvent",
    "PortTakenError",
    "Probe",
    "Process",
    "ProcessFailedError",
    "RestartBudget",
    "RestartPolicy",
    "Server",
    "Servers",
    "StateDir",
    "StateError",
    "StateLockedError",
    "StopRequestedError",
    "Stragglers",
    "Supervisor",
    "TlsFiles",
    "add_publisher",
    "find_binaries",
    "free_port",
    "free_ports",
    "http_ready",
    "kept_publishers",
    "kept_secret",
    "nats",
    "nats_ready",
    "new_shared_subdirectory",
    "postgres",
    "postgres_ready",
    "reload_publishers",
    "remove_publisher",
    "servers",
    "start_levels",
    "supervised",
    "tls_front",
    "valkey",
    "valkey_ready",
]

"""Free TCP ports on the loopback address, each given to one process of this user at a time.

Between choosing a port and listening on it another program can take it. Processes that choose here
do not take each other's; when any other program takes one, `processes.supervised` starts again.
"""

import contextlib
import fcntl
import os
import secrets
import socket
import threading
from collections import deque

from perfcheck_embedded.accounts import shared_directory
from perfcheck_embedded.errors import StateError

LOOPBACK = "127.0.0.1"
# Below the ranges from which kernels lend ports to outgoing connections (Linux from 32768, macOS
# from 49152): a port chosen here is still free when its process is restarted a moment later.
_PORT_MIN = 20_000
_PORT_MAX = 32_000
_DRAWS_MAX = 200
_RESERVED_MAX = 2_000  # of one process; the oldest give way


class _Reservations:
    """Ports that this process has chosen, kept from other processes by locks on bytes of a file.

    The byte's place is the port. The kernel releases a process's locks when it ends, however.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._fd: int | None = None
        self._ports: deque[int] = deque()

    def take(self, port: int) -> bool:
        """Reserve a port; False when this or another process has reserved it."""
        with self._mutex:
            if port in self._ports:
                return False
            try:
                fcntl.lockf(self._file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            except BlockingIOError:
                return False
            except (OSError, StateError):
                pass  # no such file here: a port that is lost is chosen again
            self._ports.append(port)
            if len(self._ports) > _RESERVED_MAX:
                with contextlib.suppress(OSError, StateError):
                    fcntl.lockf(self._file(), fcntl.LOCK_UN, 1, self._ports.popleft())
            return True

    def _file(self) -> int:
        # Never closed: closing any descriptor of the file would release all locks on it.
        if self._fd is None:
            path = shared_directory() / "ports"
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd


_reservations = _Reservations()


def free_ports(count: int) -> list[int]:
    """Return `count` different ports on 127.0.0.1 that nothing listens on.

    They are reserved for this process as long as it runs.

    Raises:
        OSError: no free port was found in a bounded number of attempts.

    """
    ports: list[int] = []
    for _ in range(_DRAWS_MAX):
        if len(ports) == count:
            return ports
        port = _PORT_MIN + secrets.randbelow(_PORT_MAX - _PORT_MIN)
        if _is_free(port) and _reservations.take(port):
            ports.append(port)
    if len(ports) == count:
        return ports
    raise OSError(f"found only {len(ports)} of {count} free ports on {LOOPBACK}")


def free_port() -> int:
    """Return one port on 127.0.0.1 that nothing listens on; see `free_ports`."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a closed connection in TIME_WAIT does not make a port used.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True

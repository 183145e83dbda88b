"""Free TCP ports on the loopback address."""

import contextlib
import secrets
import socket

HOST = "127.0.0.1"
# Below the ranges from which kernels lend ports to outgoing connections (Linux from 32768, macOS
# from 49152): a port chosen here is still free when its process is restarted a moment later.
_PORT_MIN = 20_000
_PORT_MAX = 32_000
_ATTEMPTS_MAX = 200


def free_ports(count: int) -> list[int]:
    """Return `count` different ports on 127.0.0.1 that nothing listens on.

    Raises:
        OSError: no free port was found in a bounded number of attempts.

    """
    ports: list[int] = []
    with contextlib.ExitStack() as held:  # all are held until the last is found
        for _ in range(_ATTEMPTS_MAX):
            if len(ports) == count:
                return ports
            port = _PORT_MIN + secrets.randbelow(_PORT_MAX - _PORT_MIN)
            probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            # As the servers do: a closed connection in TIME_WAIT does not make a port used.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                ports.append(port)
    if len(ports) == count:
        return ports
    raise OSError(f"found only {len(ports)} of {count} free ports on {HOST}")


def free_port() -> int:
    """Return one port on 127.0.0.1 that nothing listens on; see `free_ports`."""
    return free_ports(1)[0]

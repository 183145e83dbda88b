"""Who listens on a port: a probe is answered by whoever does, be it another program."""

import contextlib

import psutil


def listens(pid: int, port: int) -> bool:
    """Return whether process `pid`, or one below it, listens on TCP `port`.

    Where the system does not let us see that, it is taken for granted.
    """
    try:
        process = psutil.Process(pid)
        if _has(process, port):
            return True
        return any(_has(child, port) for child in process.children(recursive=True))
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False


def _has(process: psutil.Process, port: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return any(
            each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
            for each in process.net_connections("tcp")
        )
    return False

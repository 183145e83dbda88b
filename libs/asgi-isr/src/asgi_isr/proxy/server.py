"""Serving: Granian with HTTP/1.1, and an orderly end.

On SIGTERM or SIGINT the listener closes, requests under way finish, the cache closes; what is not
done after `stop_timeout_s` is killed. A worker that dies is not started again: the main process
ends with status 1, and whoever supervises it decides. A pipe tells the workers when the main
process is gone (`kill -9`).
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from asgi_isr.frameworks.granian import stoppable
from asgi_isr.proxy.app import create_app
from asgi_isr.proxy.options import address, place
from asgi_isr.proxy.settings import ProxySettings
from asgi_isr.types import App

KEEP_ALIVE_S = 60  # of a kept-alive client: not below that of load balancers; Granian's maximum
_BACKLOG = 1024
# Granian configures its logger by itself; this makes it hand everything to ours.
_GRANIAN_LOGS: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"handlers": [], "propagate": True}},
}

logger = logging.getLogger(__name__)


def serve(settings: ProxySettings) -> None:
    """Serve until a signal says stop; returns after an orderly stop.

    Raises `SystemExit` with status 1 when the address is taken, or a worker did not start or died.
    """
    _configure_logs()
    host, port = address(settings.listen)
    reader, writer = multiprocessing.Pipe(duplex=False)
    server = _Server(
        "asgi-isr-proxy",
        settings=settings,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        loop=Loops.auto,
        http=HTTPModes.http1,
        # A request to upgrade comes as any other, and the entrance refuses it.
        websockets=False,
        # Granian bounds idle keep-alive by the time to the next request's headers.
        http1_settings=HTTP1Settings(header_read_timeout=KEEP_ALIVE_S * 1000),
        backlog=_BACKLOG,
        log_access=False,
        log_level=LogLevels.warning,
        log_dictconfig=_GRANIAN_LOGS,
        workers_kill_timeout=settings.stop_timeout_s,
        respawn_failed_workers=False,
    )
    start = partial(_start_worker, settings, reader, writer)
    server.serve(target_loader=start, wrap_loader=False)


class _Server(MPServer):
    """Granian that says in one line what it does, or why it cannot."""

    def __init__(self, target: str, *, settings: ProxySettings, **options: Any) -> None:
        super().__init__(target, **options)
        self._settings = settings

    def _init_shared_socket(self) -> None:
        settings = self._settings
        try:
            super()._init_shared_socket()  # type: ignore[no-untyped-call]  # Granian has no types
        except (OSError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]  # Rust's stack trace follows
            logger.critical(
                "cannot listen on %s: %s; choose another --listen, or stop what listens there",
                settings.listen,
                reason,
            )
            raise SystemExit(1) from None
        logger.info(
            "http://%s forwards to %s; store: %s; log: %s",
            settings.listen,
            place(settings.upstream),
            place(settings.store) if settings.store else "none",
            place(settings.log) if settings.log else "none",
        )


def _start_worker(settings: ProxySettings, reader: Connection, writer: Connection) -> App:
    """Prepare the worker process and return the app; Granian calls it there."""
    writer.close()  # this process's copy would keep the pipe open after the main process's end
    # Ctrl-C reaches the whole foreground group; the main process decides when a worker stops.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    app = stoppable(create_app(settings))
    _configure_logs()
    watch = threading.Thread(
        target=_watch, args=(reader, settings.stop_timeout_s), name="main-process", daemon=True
    )
    watch.start()
    return app


def _watch(reader: Connection, stop_timeout_s: float) -> None:
    """Wait for the main process's end, and stop this process after it."""
    try:
        reader.recv_bytes()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(stop_timeout_s)
        os._exit(1)


def _configure_logs() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level="INFO")

"""Serving: Granian with one worker process, HTTP/1.1, uvloop, and an orderly end.

Two processes: the main one holds the signals, the worker the application. A pipe between them
carries two facts that signals cannot carry safely:

- *The end is near.* On SIGTERM or SIGINT with `drain_s` > 0 the main process writes one message;
  the worker answers readiness with 503 from then on, and `drain_s` later the usual graceful stop
  begins (listener closed, requests under way finish, lifespan left; after `WORKER_STOP_S` the
  worker is killed). A second signal stops at once.
- *The main process is gone* (`kill -9`). The pipe ends, and the worker stops itself within the same
  bound.

A worker that dies is not started again: the main process ends with status 1, and whoever supervises
it (ECS, `perfcheck up`) decides. A crash loop inside a task would hide from both.
"""

import contextlib
import importlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from asgi_isr.frameworks.granian import stoppable
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer
from perfcheck_contracts.limits import SERVER_IDLE_S, WORKER_STOP_S

from perfcheck_chassis.logs import configure_logging
from perfcheck_chassis.process.drain import draining
from perfcheck_chassis.settings import ServiceSettings, share_instance_id

__all__ = ["serve"]

_log = logging.getLogger(__name__)

_LISTEN_BACKLOG = 1024
# Granian configures its logger by itself; this makes it hand everything to ours.
_SERVER_LOGS: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"handlers": [], "propagate": True}},
}


def serve(target: str, settings: ServiceSettings, service: str) -> None:
    """Serve until a signal says stop; returns after an orderly stop.

    Args:
        target: `package.module:factory`, called in the worker without arguments for the ASGI app.
        settings: address, drain time, log level.
        service: name for logs and for the process list.

    Raises:
        SystemExit: with status 1 when the address is taken, or the worker did not start or died.

    """
    configure_logging(service, settings.instance_id, settings.log_level)
    share_instance_id(settings)
    _name_process(service)
    reader, writer = multiprocessing.Pipe(duplex=False)
    server = _Server(
        target,
        notice=writer,
        drain_s=settings.drain_s,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=1,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        # Granian bounds idle keep-alive by the time to the next request's headers.
        http1_settings=HTTP1Settings(header_read_timeout=SERVER_IDLE_S * 1000),
        backlog=_LISTEN_BACKLOG,
        log_access=False,
        log_level=LogLevels(settings.log_level.lower()),
        log_dictconfig=_SERVER_LOGS,
        workers_kill_timeout=WORKER_STOP_S,
        respawn_failed_workers=False,
    )
    start = partial(_start_worker, target, service, settings, reader, writer)
    server.serve(target_loader=start, wrap_loader=False)


class _Server(MPServer):
    """Granian that says so and waits before it stops."""

    def __init__(self, target: str, *, notice: Connection, drain_s: float, **options: Any) -> None:
        super().__init__(target, **options)
        self._notice = notice
        self._drain_s = drain_s
        self._stopping = False

    def _init_shared_socket(self) -> None:
        """Take the address, or say in one line why not."""
        try:
            super()._init_shared_socket()  # type: ignore[no-untyped-call]  # Granian has no types
        except (OSError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]  # Rust's stack trace follows
            _log.critical(
                "cannot listen on %s:%s: %s; choose another PERFCHECK_HOST or PERFCHECK_PORT, or "
                "stop what listens there",
                self.bind_addr,
                self.bind_port,
                reason,
            )
            raise SystemExit(1) from None

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """Begin to drain at the first signal, stop at once at the second."""
        if self._stopping or not self._drain_s:
            super().signal_handler_interrupt(  # type: ignore[no-untyped-call]  # Granian has no types
                *args, **kwargs
            )
            return
        self._stopping = True
        with contextlib.suppress(OSError):  # a worker that is gone needs no notice
            self._notice.send_bytes(b"drain")
        stop = threading.Timer(self._drain_s, super().signal_handler_interrupt)
        stop.daemon = True
        stop.start()


def _start_worker(
    target: str,
    service: str,
    settings: ServiceSettings,
    reader: Connection,
    writer: Connection,
) -> Any:
    """Prepare the worker process and return the application; Granian calls it there."""
    writer.close()  # this process's copy would keep the pipe open after the main process's end
    # Ctrl-C reaches the whole foreground group; the main process decides when the worker stops.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    configure_logging(service, settings.instance_id, settings.log_level)
    _name_process(f"{service}-worker")
    module, _, factory = target.partition(":")
    app = stoppable(getattr(importlib.import_module(module), factory)())
    threading.Thread(target=_watch, args=(reader,), name="main-process", daemon=True).start()
    return app


def _watch(reader: Connection) -> None:
    """Wait for the main process's notice, then for its end, and stop this process after it."""
    try:
        while True:
            reader.recv_bytes()
            draining.set()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(WORKER_STOP_S)
        os._exit(1)


def _name_process(name: str) -> None:
    """Show `name` in `ps` and `top`, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])

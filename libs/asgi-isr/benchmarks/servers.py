"""The servers that are compared, each with one worker, on free ports of 127.0.0.1."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import psutil
from benchmarks.report import BenchmarkError

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
_POLL_S = 0.05
_LOG_BYTES_MAX = 2000
_HOME = Path(__file__).parents[1]  # where `benchmarks` can be imported


class Server:
    """A running server: its port, and the CPU time of all its processes."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self._process = process

    def cpu_s(self) -> float:
        """Return the CPU seconds, user and system, that its processes have used so far."""
        main = psutil.Process(self._process.pid)
        times = [process.cpu_times() for process in (main, *main.children(recursive=True))]
        return sum(used.user + used.system for used in times)


def installed(program: str) -> str | None:
    """Return the path of a server's program; distributions keep some out of a user's PATH."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def granian(target: str, interface: str) -> contextlib.AbstractContextManager[Server]:
    """Run an app of `benchmarks.apps` as the services run theirs."""
    if find_spec("granian") is None:
        raise BenchmarkError("Granian is not installed: `make setup` installs it")
    port = _free_port()
    argv = [
        sys.executable, "-m", "granian", "--interface", interface, "--loop", "uvloop",
        "--http", "1", "--no-ws", "--workers", "1", "--log-level", "warning",
        "--host", "127.0.0.1", "--port", str(port), "--factory", f"benchmarks.apps:{target}",
    ]  # fmt: skip
    return _running(argv, port)


def nginx(program: str, directory: Path) -> contextlib.AbstractContextManager[Server]:
    """Serve the files of `directory`, and their `.gz` to who accepts gzip."""
    port = _free_port()
    config = directory / "nginx.conf"
    temporary = "\n".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        # The worker of a master that is root must be able to read the folder.
        f"""{"user root;" if os.geteuid() == 0 else ""}
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
  {temporary}
  server {{
    listen 127.0.0.1:{port}; root {directory};
    location / {{ default_type text/html; gzip_static on; etag on; }}
  }}
}}
"""
    )
    return _running([program, "-c", str(config), "-e", "stderr"], port)


def varnish(
    program: str, directory: Path, backend_port: int
) -> contextlib.AbstractContextManager[Server]:
    """Cache what the server at `backend_port` gives for an hour; under `/gzip` coded at once."""
    port = _free_port()
    vcl = directory / "hit.vcl"
    vcl.write_text(
        f"""vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{backend_port}"; }}
sub vcl_backend_response {{
  set beresp.ttl = 1h;
  set beresp.do_stream = false;
  if (bereq.url ~ "^/gzip") {{ set beresp.do_gzip = true; }}
  return (deliver);
}}
"""
    )
    argv = [
        program, "-F", "-j", "none", "-n", str(directory / "varnish"), "-T", "none",
        "-a", f"127.0.0.1:{port}", "-f", str(vcl), "-s", "malloc,64m",
    ]  # fmt: skip
    return _running(argv, port)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(argv: Sequence[str], port: int) -> Iterator[Server]:
    """Start a server in a session of its own; end it with all its processes."""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile())
        with _uninterrupted():
            process = subprocess.Popen(  # noqa: S603  our own programs and arguments
                argv, cwd=_HOME, stdout=log, stderr=log, start_new_session=True
            )
            stack.callback(_stop, process)
        if not _answers(process, port):
            log.seek(0)
            words = log.read()[-_LOG_BYTES_MAX:].decode(errors="replace")
            raise BenchmarkError(f"{argv[0]} did not start: {words}")
        yield Server(port, process)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM, so that no process is started and then forgotten."""
    came: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for signal_number in came:
        signal.raise_signal(signal_number)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server; what is left of its session after the time limit is killed."""
    process.terminate()
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_TIMEOUT_S)


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server takes connections; False if it ends, or does not in time."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(_POLL_S)
        else:
            return True
    return False

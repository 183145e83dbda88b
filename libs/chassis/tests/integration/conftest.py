import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgi_isr.testing import eventually_sync
from perfcheck_chassis.settings import environment

_SERVICE = Path(__file__).with_name("sample_service.py")


class ServiceProcess:
    """The sample service as its own process (group), with what it logs."""

    def __init__(self, port: int, log: Path, **variables: str) -> None:
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}"
        self._log = log
        settings = {f"PERFCHECK_{name.upper()}": value for name, value in variables.items()}
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, str(_SERVICE)],
                env={**environment(), "PERFCHECK_PORT": str(port), **settings},
                stderr=stderr,
                stdout=stderr,
                start_new_session=True,
            )

    def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON of one GET on a fresh connection."""
        try:
            url = self.base_url + path
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  loopback
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def wait_ready(self) -> None:
        """Return once the health route says pass."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log()
            return self.get("/api/health")[0] == 200

        eventually_sync(ready, timeout_s=20, ignoring=(OSError,))

    def log(self) -> str:
        """Return everything written so far."""
        return self._log.read_text()

    def logged(self) -> list[dict[str, Any]]:
        """Return what was logged as JSON; other lines are left out."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def stop(self) -> None:
        """Kill what is left of the process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def start_service(free_port: int, tmp_path: Path) -> Iterator[Callable[..., ServiceProcess]]:
    """Give a function that starts the sample service; settings are its keywords."""
    started: list[ServiceProcess] = []

    def start(**variables: str) -> ServiceProcess:
        service = ServiceProcess(free_port, tmp_path / "service.log", **variables)
        started.append(service)
        return service

    yield start
    for service in started:
        service.stop()

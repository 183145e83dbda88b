"""The BFF and the api as processes, against real PostgreSQL, NATS and Valkey, on free ports.

Between the two lies a relay that counts connections and can be cut, as the api's end would be.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgi_isr.testing import eventually_sync
from perfcheck_chassis.identity import TokenKeys
from perfcheck_chassis.secret import Secret
from perfcheck_embedded import Servers, free_port, servers

READY_S = 30.0
STOP_S = 45.0
LEASE_S = 10.0
HOST = "127.0.0.1"
TOKEN_KEY = "k" * 32


@dataclass(frozen=True)
class Answer:
    """A response, with the names of its headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Return the body as text, with slashes as they were before escaping."""
        return self.body.decode().replace("&#x2f;", "/")

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Service:
    """A running process of ours."""

    port: int

    def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request on a connection of its own, and return the answer as it comes."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=15)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())

    def get(self, path: str) -> Answer:
        """Send a GET."""
        return self.call("GET", path)


@dataclass
class Relay:
    """Forwards TCP connections to `target`; `accepted` counts them by the caller's port."""

    target: int
    port: int = field(default_factory=free_port)
    accepted: list[int] = field(default_factory=list)
    _listener: socket.socket | None = None
    _sockets: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def open(self) -> None:
        """Accept connections."""
        self._listener = socket.create_server((HOST, self.port))
        self._start(self._accept, self._listener)

    def cut(self) -> None:
        """Refuse new connections and break those that stand; return when all is quiet."""
        if self._listener is not None:
            # A listener that is only closed would still take the one connection it waits for.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)
        for end in self._sockets:
            end.close()
        self._listener, self._sockets, self._threads = None, [], []

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, (_, peer_port) = listener.accept()
            except OSError:
                return
            self.accepted.append(peer_port)
            far = socket.create_connection((HOST, self.target), timeout=5)
            far.settimeout(None)
            self._sockets += [near, far]
            self._start(self._copy, near, far)
            self._start(self._copy, far, near)

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def business_days() -> list[date]:
    """Return the days of the test's rates: 2024-01-02 to 2026-10-30, without weekends."""
    first = date(2024, 1, 2)
    days = [first + timedelta(days=index) for index in range(1033)]
    return [day for day in days if day.weekday() < 5]


def rate(code: str, index: int) -> float:
    """Return the rate of `code` on the `index`th day; each code has its own course."""
    start = {"USD": 1.1, "JPY": 160.0, "IDR": 17_000.0, "HRK": 7.5}[code]
    return round(start * (1 + 0.0001 * index), 4)


def csv_text() -> str:
    """Write the rates as the European Central Bank does; HRK ends with 2024."""
    codes = ("USD", "JPY", "IDR", "HRK")
    lines = [f"Date,{','.join(codes)},"]
    for index, day in reversed(list(enumerate(business_days()))):
        cells = [
            "N/A" if code == "HRK" and day.year > 2024 else f"{rate(code, index):.4f}"
            for code in codes
        ]
        lines.append(f"{day},{','.join(cells)},")
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def process(module: str, log: Path, environ: Mapping[str, str]) -> Iterator[Service]:
    """Run `python -m module` until it is ready, and stop it at the end."""
    port = free_port()
    values = {**os.environ, **environ, "PERFCHECK_PORT": str(port)}  # noqa: TID251  a child's own
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603  a module of this repository
            [sys.executable, "-m", module], env=values, stdout=output, stderr=output
        )
    service = Service(port)
    try:
        _wait_ready(service, child, log)
        yield service
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise


def _wait_ready(service: Service, child: subprocess.Popen[bytes], log: Path) -> None:
    def ready() -> bool:
        return child.poll() is not None or service.get("/api/health").status == 200

    with contextlib.suppress(AssertionError):
        eventually_sync(ready, timeout_s=READY_S, poll_s=0.05, ignoring=(OSError,))
        if child.poll() is None:
            return
    pytest.fail(f"the service did not become ready:\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="session")
def run_process() -> Callable[..., contextlib.AbstractContextManager[Service]]:
    """Return how to run one more process."""
    return process


@pytest.fixture
def silence() -> Iterator[int]:
    """Return a port that takes connections and never answers."""
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(scope="session")
def backing() -> Iterator[Servers]:
    """Start PostgreSQL, NATS and Valkey."""
    with servers() as running:
        yield running


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where logs and the source of rates lie."""
    return tmp_path_factory.mktemp("bff")


@pytest.fixture(scope="session")
def api(backing: Servers, folder: Path) -> Iterator[Service]:
    """Run the real api on a database with four currencies."""
    environ = {
        "PERFCHECK_DATABASE_URL": backing.database_url,
        "PERFCHECK_NATS_URL": backing.nats_urls["api"],
        "PERFCHECK_TOKEN_KEY": TOKEN_KEY,
    }
    source = folder / "rates.csv"
    source.write_text(csv_text())
    for command in (["migrate"], ["ingest", "--source", str(source)]):
        subprocess.run(  # noqa: S603  a module of this repository
            [sys.executable, "-m", "perfcheck_api", *command],
            env={**os.environ, **environ},  # noqa: TID251  a child's own
            check=True,
            timeout=60,
            capture_output=True,
        )
    with process("perfcheck_api", folder / "api.log", environ) as service:
        yield service


@pytest.fixture(scope="session")
def relay(api: Service) -> Iterator[Relay]:
    """Stand between the BFF and the api."""
    between = Relay(api.port)
    between.open()
    yield between
    between.cut()


@pytest.fixture(scope="session")
def bff_environ(backing: Servers, relay: Relay) -> dict[str, str]:
    """Return the settings of a BFF."""
    return {
        "PERFCHECK_API_URL": f"http://{HOST}:{relay.port}",
        "PERFCHECK_NATS_URL": backing.nats_urls["frontend-bff"],
        "PERFCHECK_VALKEY_URL": backing.valkey_url,
        "PERFCHECK_TOKEN_KEY": TOKEN_KEY,
    }


@pytest.fixture
def writer() -> dict[str, str]:
    """Return the fields of a request to the api that may change rates."""
    token = TokenKeys(Secret(TOKEN_KEY)).issue(
        subject="test", audience="api", scopes=["rates:write"]
    )
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="session")
def bff(bff_environ: dict[str, str], folder: Path) -> Iterator[Service]:
    """Run one instance of the BFF whose lease stands."""
    environ = {**bff_environ, "PERFCHECK_INSTANCE_ID": "bff-under-test"}
    with process("perfcheck_bff", folder / "bff.log", environ) as service:
        eventually_sync(
            lambda: service.get("/api/cache").json()["lease_remaining_s"] > 0, timeout_s=LEASE_S
        )
        yield service

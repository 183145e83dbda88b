"""The system under test: `perfcheck up` in a directory of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from asgi_isr.testing import eventually_sync
from perfcheck import environment
from perfcheck.stack.tokens import mint
from perfcheck_embedded import new_shared_subdirectory

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
REQUEST_TIMEOUT_S = 35.0
RECOVERY_TIMEOUT_S = 60.0
POLL_S = 0.02


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in this folder: it runs the whole system."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("e2e")


eventually = partial(  # a refused or broken connection counts as not yet
    eventually_sync,
    timeout_s=RECOVERY_TIMEOUT_S,
    poll_s=POLL_S,
    ignoring=(httpx.TransportError,),
)


class Stack:
    """A running system and its `run.json`, read again each time: restarts change process ids."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.http = httpx.Client(timeout=REQUEST_TIMEOUT_S)
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Bring everything up and wait until it says so."""
        log = (self.directory.parent / f"{self.directory.name}.out").open("w")
        with log:
            self.process = subprocess.Popen(  # noqa: S603  our own command
                [*COMMAND, "up", "--state", str(self.directory)],
                stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )  # fmt: skip
        eventually_sync(
            lambda: self._says_that_it_is_up(Path(log.name)),
            timeout_s=START_TIMEOUT_S,
            poll_s=POLL_S,
        )
        return self

    def _says_that_it_is_up(self, log: Path) -> bool:
        said = log.read_text()
        assert self.process is not None
        assert self.process.poll() is None, f"the stack did not come up:\n{said}"
        return "dashboard" in said

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send one signal and wait; return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(STOP_TIMEOUT_S)
        self.http.close()
        return code

    @property
    def run(self) -> dict[str, Any]:
        """What runs, as other commands see it."""
        found: dict[str, Any] = json.loads((self.directory / "run.json").read_text())
        return found

    @property
    def api(self) -> str:
        """Address of the api."""
        return str(self.run["urls"]["api"])

    @property
    def bffs(self) -> list[str]:
        """Addresses of the BFF instances."""
        return list(self.run["urls"]["bff"])

    def pid(self, name: str) -> int:
        """Process id of a part; 0 while it is being restarted."""
        return int(self.run["processes"].get(name, 0))

    def page(self, path: str, bff: int = 0, **headers: str) -> httpx.Response:
        """Get a page from one instance."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.get(self.bffs[bff] + path, headers=fields)

    def rates(self, day: str) -> dict[str, float]:
        """Return the rates of a day as the api has them."""
        reply = self.http.get(f"{self.api}/api/v1/days/{day}").raise_for_status().json()
        return {rate["code"]: rate["rate"] for rate in reply["rates"]}

    def write(self, day: str, **rates: float | None) -> httpx.Response:
        """Change single rates of a day."""
        return self.http.patch(
            f"{self.api}/api/v1/days/{day}",
            json={"rates": rates},
            headers=self.bearer("rates:write"),
        )

    def put(self, url: str, rates: Mapping[str, float]) -> httpx.Response:
        """Replace the rates at `url`."""
        return self.http.put(url, json={"rates": dict(rates)}, headers=self.bearer("rates:write"))

    def token(self, scope: str, *, audience: str = "api") -> str:
        """Return a token of this installation."""
        key = self.run["token_key"]
        return mint(
            key,
            subject="e2e",
            audience=audience,
            scopes=[scope],
            lifetime_s=300,
            now_s=environment.utc_now().timestamp(),
        )

    def bearer(self, scope: str, *, audience: str = "api") -> dict[str, str]:
        """Return the header of a request that needs a token."""
        return {"Authorization": f"Bearer {self.token(scope, audience=audience)}"}

    def command(self, *arguments: str, within_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `perfcheck` on this stack."""
        return subprocess.run(  # noqa: S603  our own command
            [*COMMAND, *arguments, "--state", str(self.directory)],
            capture_output=True, text=True, check=False, timeout=within_s,
            env={**os.environ, "NO_COLOR": "1"},  # noqa: TID251  a test's own environment
        )  # fmt: skip

    def invalidate(self, *names: str) -> None:
        """Publish an invalidation and wait until every instance has applied it."""
        # An instance that another test killed is waited for until its lease has ended.
        done = self.command("invalidate", *names, "--wait", "--timeout", "20s")
        assert done.returncode == 0, done.stderr

    def healthy(self) -> bool:
        """Say whether every service passes without a warning."""
        urls = [self.api, self.run["urls"]["revalidator"], *self.bffs]
        replies = [self.http.get(f"{url}/api/health") for url in urls]
        return all(
            reply.status_code == 200 and reply.json()["status"] == "pass" for reply in replies
        )

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a part and all of its processes, as the kernel or an operator would."""
        os.killpg(self.pid(name), number)


COMMAND: Sequence[str] = (sys.executable, "-m", "perfcheck")


def cache_status(reply: httpx.Response) -> str:
    """Return what the cache said."""
    return str(reply.headers.get("cache-status", ""))


def fence(reply: httpx.Response) -> int:
    """Return the log position that a page is as new as."""
    found = re.search(r"fence=(\d+)", cache_status(reply))
    assert found, reply.headers
    return int(found[1])


@contextmanager
def directory() -> Iterator[Path]:
    """Give a place that every account may pass through, as PostgreSQL needs when root runs this."""
    place = new_shared_subdirectory("e2e-")
    try:
        yield place / "state"
    finally:
        shutil.rmtree(place)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Give one system to all tests that leave it as they found it."""
    with directory() as place:
        running = Stack(place).start()
        yield running
        assert running.stop(signal.SIGTERM) == 0


@pytest.fixture(scope="module")
def module_stack() -> Iterator[Stack]:
    """Give a system to the tests of one module."""
    with directory() as place:
        running = Stack(place).start()
        yield running
        assert running.stop() == 0


@pytest.fixture
def untouched(stack: Stack) -> Iterator[Stack]:
    """Give the shared system, healthy before the test and after it."""
    eventually(stack.healthy)
    yield stack
    eventually(stack.healthy)


@pytest.fixture
def own_stack() -> Iterator[Stack]:
    """Give a system for one test, which may stop or kill it."""
    with directory() as place:
        running = Stack(place).start()
        yield running
        if running.process is not None and running.process.poll() is None:
            running.stop()


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., None]:
    """`eventually`, for tests."""
    return eventually


@pytest.fixture(name="cache_status")
def cache_status_fixture() -> Callable[[httpx.Response], str]:
    """`cache_status`, for tests."""
    return cache_status


@pytest.fixture(name="fence")
def fence_fixture() -> Callable[[httpx.Response], int]:
    """`fence`, for tests."""
    return fence

"""A proxy as a process, an origin that says what a test wants, and a client that sees all bytes."""

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httptools
import pytest
from asgi_isr.testing import eventually_sync
from perfcheck_embedded import LOOPBACK, free_port

LIMIT_S = 20.0
STARTS_MAX = 3  # somebody may take a free port between the choice and the start
TAKEN = "cannot listen on"
Handler = Callable[["Request", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Request:
    """The head of a request as the origin read it; names of fields in lower case."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.fields = [(name.lower(), value) for name, _, value in
                       (line.partition(": ") for line in lines)]  # fmt: skip

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return [value for field, value in self.fields if field == name]


class Origin:
    """A server on `port` whose `handler` answers each request.

    `requests` are those it has read the head of, `connections` says how many were opened.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[Request] = []
        self.connections = 0
        self.handler: Handler = plain
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)

    async def close(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()  # close() would wait for a peer that does not read
        await asyncio.gather(
            *(writer.wait_closed() for writer in self._writers), return_exceptions=True
        )
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        # Cancelled when the origin closes, in the midst of whatever a test does.
        ends = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*ends):
            while not writer.is_closing():
                request = Request(await reader.readuntil(b"\r\n\r\n"))
                self.requests.append(request)
                await self.handler(request, reader, writer)
                await writer.drain()
        writer.close()


async def plain(_: Request, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a page that may not be stored."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")


class Response:
    """A response as a client read it; `whole` when it ended as its framing says."""

    def __init__(self, *, head_only: bool = False) -> None:
        self.status = 0
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        self.whole = False
        self._head_only = head_only

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return [value for field, value in self.fields if field == name]

    def one(self, name: str) -> str:
        """Return a field's only value, empty when it is absent."""
        found = self.all(name)
        assert len(found) <= 1
        return found[0] if found else ""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field."""
        self.fields.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Notice the end of the head."""
        self.whole = self._head_only

    def on_body(self, data: bytes) -> None:
        """Take content."""
        self.body += data

    def on_message_complete(self) -> None:
        """Notice the end."""
        self.whole = True


async def exchange(port: int, data: bytes, *, limit_s: float = LIMIT_S) -> Response:
    """Send bytes to a port, and read one response: to its end or that of the connection."""
    response = Response(head_only=data.startswith(b"HEAD "))
    parser = httptools.HttpResponseParser(response)
    async with asyncio.timeout(limit_s):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            writer.write(data)
            while not response.whole and (part := await reader.read(65536)):
                parser.feed_data(part)
        finally:
            writer.close()
    response.status = parser.get_status_code()
    return response


async def fetch(port: int, target: str, *lines: str, method: str = "GET") -> Response:
    """Send a request without content and with these further lines in its head."""
    head = "\r\n".join((f"{method} {target} HTTP/1.1", "Host: shop.test", *lines, "", ""))
    return await exchange(port, head.encode("latin-1"))


class Proxy:
    """`asgi-isr proxy` as a process of its own, on a port of its own, before `upstream_port`."""

    def __init__(
        self, upstream_port: int, *options: str, log_path: Path, scheme: str,
        environment: dict[str, str],
    ) -> None:  # fmt: skip
        self.port = free_port()
        self.log_path = log_path
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own command
                [
                    "/usr/bin/env", *(f"{name}={value}" for name, value in environment.items()),
                    sys.executable, "-m", "asgi_isr.proxy", "proxy",
                    "--upstream", f"{scheme}://{LOOPBACK}:{upstream_port}",
                    "--listen", f"{LOOPBACK}:{self.port}",
                    *options,
                ],
                stdout=log,
                stderr=log,
            )  # fmt: skip

    def wait(self, ready: str) -> bool:
        """Wait until its log says `ready` and it accepts connections; False: its port was taken."""

        def started() -> str:
            said = self.log_path.read_text()
            if self.process.poll() is not None:
                assert TAKEN in said, said
                return TAKEN
            return ready if ready in said and self.accepts() else ""

        return eventually_sync(started, timeout_s=LIMIT_S, poll_s=0.02) == ready

    def accepts(self) -> bool:
        """Say whether it listens."""
        try:
            socket.create_connection((LOOPBACK, self.port), timeout=LIMIT_S).close()
        except ConnectionRefusedError:
            return False
        return True

    def worker(self) -> int:
        """Return the process id of its worker."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) == 1
        return int(children[0])

    def peak_bytes(self) -> int:
        """Return the most memory that its worker ever held."""
        status = Path(f"/proc/{self.worker()}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def stop(self) -> int:
        """Stop it in order; return its status."""
        self.process.terminate()
        return self.process.wait(LIMIT_S)


NewProxy = Callable[..., Proxy]


@pytest.fixture(scope="module")
def new_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewProxy]:
    """Give a function that starts a proxy; all are stopped after the module."""
    started: list[Proxy] = []

    def start(
        upstream_port: int, *options: str, ready: str = "joined the invalidation log",
        scheme: str = "http", **environment: str,
    ) -> Proxy:  # fmt: skip
        for _ in range(STARTS_MAX):
            proxy = Proxy(
                upstream_port,
                *options,
                log_path=tmp_path_factory.mktemp("proxy") / "proxy.log",
                scheme=scheme,
                environment=environment,
            )
            started.append(proxy)
            if proxy.wait(ready):
                return proxy
        raise AssertionError(f"somebody took its port {STARTS_MAX} times")

    yield start
    for proxy in started:
        if proxy.process.poll() is None:
            proxy.process.terminate()
    for proxy in started:
        try:
            proxy.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            proxy.process.kill()
            proxy.process.wait()


@pytest.fixture(scope="module")
def origin_port() -> int:
    """Give the port of this module's origin."""
    return free_port()


@pytest.fixture(scope="module")
def proxy(new_proxy: NewProxy, origin_port: int) -> Proxy:
    """Give the proxy of this module, before its origin, with short time limits."""
    return new_proxy(
        origin_port, "--upstream-timeout", "1", "--idle-timeout", "2", "--bypass", "/api/"
    )


@pytest.fixture
async def origin(origin_port: int) -> AsyncIterator[Origin]:
    """Give an origin."""
    opened = Origin(origin_port)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(name="exchange")
def exchange_fixture() -> Callable[..., Awaitable[Response]]:
    """`exchange`, for tests."""
    return exchange


@pytest.fixture(name="fetch")
def fetch_fixture() -> Callable[..., Awaitable[Response]]:
    """`fetch`, for tests."""
    return fetch

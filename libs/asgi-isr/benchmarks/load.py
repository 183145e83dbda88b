"""Closed-loop load on one server: by `wrk` where it is installed, else by asyncio.

`wrk` costs a fraction of what the server does, so that the server is what limits both.
"""

import asyncio
import re
import shutil
import subprocess
import time
from typing import NamedTuple

from benchmarks.report import BenchmarkError

CONNECTIONS = 16
ANSWER_TIMEOUT_S = 10.0
WRK_SECONDS_MIN = 1.0  # it counts whole seconds
_DONE = re.compile(r"(\d+) requests in")
_WRONG = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")


class Request(NamedTuple):
    """A GET that is sent again and again; `fields` in addition to Host."""

    port: int
    path: str
    fields: tuple[tuple[str, str], ...]

    def encode(self) -> bytes:
        """Return the request as it is sent."""
        lines = [f"GET {self.path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        return "\r\n".join([*lines, *map(": ".join, self.fields), "", ""]).encode()


class Response(NamedTuple):
    """A whole answer; names of fields in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes


def generator(seconds: float) -> str:
    """Return the name of what makes the load."""
    return "wrk" if seconds >= WRK_SECONDS_MIN and shutil.which("wrk") else "asyncio"


def drive(request: Request, seconds: float) -> int:
    """Send `request` for `seconds` over 16 kept-alive connections; return how often."""
    if generator(seconds) == "wrk":
        return _wrk(request, int(seconds))
    return asyncio.run(_asyncio(request, seconds))


def ask(request: Request) -> Response:
    """Send `request` once. Raises `BenchmarkError` when there is no whole answer in time."""
    return asyncio.run(_ask(request))


def _wrk(request: Request, seconds: int) -> int:
    fields = [part for field in request.fields for part in ("-H", ": ".join(field))]
    url = f"http://127.0.0.1:{request.port}{request.path}"
    run = subprocess.run(  # noqa: S603  our own arguments
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *fields, url],  # noqa: S607  of PATH
        capture_output=True,
        text=True,
        timeout=seconds + ANSWER_TIMEOUT_S,
        check=False,
    )
    done, wrong = _DONE.search(run.stdout), _WRONG.search(run.stdout)
    if run.returncode or wrong or not done:
        raise BenchmarkError(f"wrk on {url}: {wrong[0] if wrong else run.stdout + run.stderr}")
    return int(done[1])


async def _read(reader: asyncio.StreamReader) -> Response:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.strip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    code = int(status.split()[1])
    length = 0 if code == 304 else int(fields.get("content-length", "-1"))  # noqa: PLR2004  no body
    if length < 0:
        raise BenchmarkError(f"an answer without Content-Length: {head!r}")
    return Response(code, fields, await reader.readexactly(length))


async def _ask(request: Request) -> Response:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", request.port)
            writer.write(request.encode())
            response = await _read(reader)
            writer.close()
            return response
    except (OSError, EOFError, TimeoutError) as error:
        raise BenchmarkError(f"no answer to {request}: {error!r}") from error


async def _asyncio(request: Request, seconds: float) -> int:
    data = request.encode()
    deadline = time.monotonic() + seconds

    async def connection() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", request.port)
        sent = 0
        while time.monotonic() < deadline:
            writer.write(data)
            response = await _read(reader)
            if response.status not in {200, 304}:
                raise BenchmarkError(f"status {response.status} to {request}")
            sent += 1
        writer.close()
        return sent

    try:
        async with asyncio.timeout(seconds + ANSWER_TIMEOUT_S):
            return sum(await asyncio.gather(*(connection() for _ in range(CONNECTIONS))))
    except (OSError, EOFError, TimeoutError) as error:
        raise BenchmarkError(f"no answer to {request}: {error!r}") from error

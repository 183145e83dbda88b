"""HTTP to a neighbour service over kept-alive connections, on pyreqwest.

A connection costs more than a request, so connections are kept; the idle limit is below the
server's (see `perfcheck_contracts.limits`). Even so a server that stops may close one just as a
request is sent into it: a call that fails on the network is made once more, within the same time
limit. So offer POST only what is safe to repeat.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Literal, NamedTuple, Self

from perfcheck_contracts.limits import CLIENT_IDLE_S
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import NetworkError, RequestError
from pyreqwest.response import Response

from perfcheck_chassis.timing import app_duration_s

__all__ = ["NeighbourError", "Reply", "ServiceClient"]

_ANSWER_BYTES_MAX = 8 * 1024 * 1024


class NeighbourError(Exception):
    """A neighbour gave no usable answer.

    Attributes:
        neighbour: its name, as given to the client.
        kind: `timeout` (no answer or no free connection in time), `unavailable` (no connection, or
            it broke), `invalid` (not HTTP, cut off, or over the size limit).

    """

    def __init__(
        self, neighbour: str, kind: Literal["timeout", "unavailable", "invalid"], detail: str
    ) -> None:
        super().__init__(f"{neighbour}: {kind}: {detail}")
        self.neighbour = neighbour
        self.kind = kind


class Reply(NamedTuple):
    """A complete answer of any status.

    Attributes:
        status: HTTP status.
        headers: case-insensitive; the first value where a name repeats.
        body: the whole body, not compressed.
        duration_s: from the call to the last byte, a repeated attempt included.
        app_s: what the neighbour says its application took (`Server-Timing: app`), or None.

    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    duration_s: float
    app_s: float | None


class ServiceClient:
    """A pool of connections to one neighbour; an async context manager.

    Args:
        base_url: scheme, host and port (`http://127.0.0.1:8000`).
        neighbour: its name in errors; by default the host and port.
        timeout_s: bound on a whole call: waiting for a connection, all attempts, the body.
        connections_max: calls under way at once; more wait, within `timeout_s`.
        idle_s: an idle connection is closed after this; must be below the server's limit.
        body_bytes_max: a larger answer is an error.

    """

    def __init__(
        self,
        base_url: str,
        *,
        neighbour: str = "",
        timeout_s: float = 5.0,
        connections_max: int = 32,
        idle_s: float = CLIENT_IDLE_S,
        body_bytes_max: int = _ANSWER_BYTES_MAX,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self.neighbour = neighbour or self._base_url.partition("://")[2]
        self._timeout_s = timeout_s
        self._connections_max = connections_max
        self._idle_s = idle_s
        self._body_bytes_max = body_bytes_max
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        bound = timedelta(seconds=self._timeout_s)
        self._client = (
            ClientBuilder()
            .http1_only()
            .no_proxy()  # a neighbour is never behind the proxy of the environment
            .follow_redirects(enable=False)
            # No compression between services: it costs more than the bytes do.
            .gzip(enable=False)
            .brotli(enable=False)
            .zstd(enable=False)
            .deflate(enable=False)
            .max_connections(self._connections_max)
            .pool_max_idle_per_host(self._connections_max)
            .pool_idle_timeout(timedelta(seconds=self._idle_s))
            .pool_timeout(bound)
            .connect_timeout(bound)
            .build()
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Fetch `path` (percent-encoded, from the root) and return the answer, whatever its status.

        A call that is cancelled holds its connection until it is answered or `timeout_s` is over.

        Raises:
            NeighbourError: there is no usable answer.
            RuntimeError: the client is not open.

        """
        return await self._call("GET", path, params=params, headers=headers)

    async def post(
        self, path: str, body: bytes, *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send `body` to `path`, twice where the connection breaks; errors are those of `get`."""
        return await self._call("POST", path, headers=headers, body=body)

    async def _call(
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        started = time.perf_counter()
        deadline = started + self._timeout_s
        send = partial(
            self._attempt, method, path, params=params, headers=headers, body=body,
            deadline=deadline,
        )  # fmt: skip
        try:
            # pyreqwest bounds the wait for a connection and the request one after the other; this
            # bounds the whole.
            async with asyncio.timeout(self._timeout_s):
                try:
                    answer = await send()
                except NetworkError:
                    answer = await send()
        except TimeoutError as error:  # pyreqwest's time limits are of this family too
            detail = f"no answer to {method} {path} within {self._timeout_s:g} s"
            raise NeighbourError(self.neighbour, "timeout", detail) from error
        except NetworkError as error:
            detail = f"{method} {path}: {_cause(error)}"
            raise NeighbourError(self.neighbour, "unavailable", detail) from error
        except RequestError as error:
            detail = f"{method} {path}: {_cause(error)}"
            raise NeighbourError(self.neighbour, "invalid", detail) from error
        status, answer_headers, answer_body = answer
        timing = answer_headers.get("server-timing")
        return Reply(
            status=status,
            headers=answer_headers,
            body=answer_body,
            duration_s=time.perf_counter() - started,
            app_s=None if timing is None else app_duration_s(timing),
        )

    async def _attempt(
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        deadline: float,
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._client is None:
            raise RuntimeError(f"the client of {self.neighbour} is not open: use `async with`")
        address = self._base_url + path
        request = self._client.get(address) if method == "GET" else self._client.post(address)
        if params:
            request = request.query(params)
        if headers:
            request = request.headers(headers)
        if body is not None:
            request = request.body_bytes(body)
        # At least a millisecond, since zero would mean no limit to some clients.
        remaining_s = max(deadline - time.perf_counter(), 0.001)
        request = request.timeout(timedelta(seconds=remaining_s))
        async with request.build_streamed() as response:
            return response.status, response.headers, await self._body(response, path)

    async def _body(self, response: Response, path: str) -> bytes:
        length = response.get_header("content-length")
        if length is not None and length.isdigit() and int(length) <= self._body_bytes_max:
            return (await response.bytes()).to_bytes()
        parts: list[bytes] = []
        size = 0
        while (chunk := await response.body_reader.read_chunk()) is not None:
            size += len(chunk)
            if size > self._body_bytes_max:
                detail = f"the answer of {path} exceeds {self._body_bytes_max} bytes"
                raise NeighbourError(self.neighbour, "invalid", detail)
            parts.append(chunk.to_bytes())
        return b"".join(parts)


def _cause(error: RequestError) -> str:
    """Return the innermost cause, which names what went wrong (`Connection refused`)."""
    causes = error.details["causes"]
    return causes[-1]["message"] if causes else error.message

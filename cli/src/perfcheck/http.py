"""The command's HTTP client: keep-alive, no proxy, a time limit on each call, readable errors."""

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
from perfcheck_contracts import ProblemDetails
from perfcheck_contracts.limits import CLIENT_IDLE_S

from perfcheck.exits import NoAnswerInTimeError, TargetError

T = TypeVar("T")
POOL_CONNECTIONS_MAX = 64
PROBLEM_CHARS_MAX = 1000


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A response, read to its end; header names are lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def read(self, kind: type[T]) -> T:
        """Decode a JSON body; raises `TargetError` when it is not of that kind."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TargetError(f"{self.url} answered something unexpected: {error}") from None

    def expect(self, *statuses: int) -> Self:
        """Return this reply; raises `TargetError` with the reason when the status is another."""
        if self.status not in statuses:
            raise TargetError(f"{self.url} answered {self.status}: {self.reason()}")
        return self

    def reason(self) -> str:
        """Return what the body says went wrong: problem details (RFC 9457), else its start."""
        try:
            problem = msgspec.json.decode(self.body, type=ProblemDetails)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self.body[:300].decode(errors="replace").replace("\n", " ")
        return (problem.detail or problem.title)[:PROBLEM_CHARS_MAX]


class Http:
    """A pooled client as an async context manager. Redirects are not followed."""

    def __init__(self, *, timeout_s: float) -> None:
        """`timeout_s` bounds each call from connecting to the last byte."""
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool. What is measured must not be a proxy, so none is taken from outside."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=POOL_CONNECTIONS_MAX, keepalive_timeout=CLIENT_IDLE_S
            ),
            headers={"User-Agent": "perfcheck"},
            skip_auto_headers=("Accept-Encoding",),  # the page as it is, not in a coding
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float | None = None
    ) -> HttpResponse:
        """GET `url`; raises `TargetError` when nothing answers in time."""
        return await self._send("GET", url, None, headers, timeout_s)

    async def put(
        self, url: str, body: Any, *, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """PUT `body` as JSON to `url`; raises `TargetError` when nothing answers in time."""
        return await self._send("PUT", url, msgspec.json.encode(body), headers, None)

    async def post(
        self,
        url: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> HttpResponse:
        """POST `body`, if there is one, as JSON; raises `TargetError` like the others."""
        encoded = None if body is None else msgspec.json.encode(body)
        return await self._send("POST", url, encoded, headers, timeout_s)

    async def _send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        timeout_s: float | None,
    ) -> HttpResponse:
        if self._session is None:
            raise RuntimeError("enter the client (async with) before the first call")
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        fields = dict(headers or {})
        if body is not None:
            fields["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method,
                url,
                data=body,
                headers=fields,
                timeout=aiohttp.ClientTimeout(total=limit_s),
                allow_redirects=False,
            ) as response:
                content = await response.read()
        except TimeoutError:
            raise NoAnswerInTimeError(f"{url} did not answer within {limit_s:.3g} s") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise TargetError(f"{url} does not answer: {_cause(error)}") from None
        found: dict[str, str] = {}
        for name, value in response.headers.items():  # a field sent twice is one list (RFC 9110)
            lower = name.lower()
            found[lower] = f"{found[lower]}, {value}" if lower in found else value
        return HttpResponse(url=url, status=response.status, headers=found, body=content)


def _cause(error: Exception) -> str:
    """Return the words that help ("Connection refused") rather than where they were found."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__

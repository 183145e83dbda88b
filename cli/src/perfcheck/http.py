"""The command's HTTP client: keep-alive, no proxy, a time limit on each call, readable errors."""

from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError

from perfcheck.exits import NoAnswerInTimeError, TargetError

T = TypeVar("T")
IDLE_S = 30.0  # below the services' own limit (60 s), so that they never close a connection in use
CONNECTIONS_MAX = 64


class Reply(msgspec.Struct, frozen=True, kw_only=True):
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
        """Return this reply; raises `TargetError` with the body when the status is another."""
        if self.status not in statuses:
            text = self.body[:300].decode(errors="replace").replace("\n", " ")
            raise TargetError(f"{self.url} answered {self.status}: {text}")
        return self


class Http:
    """A pooled client as an async context manager. Redirects are not followed."""

    def __init__(self, *, timeout_s: float) -> None:
        """`timeout_s` bounds each call from connecting to the last byte."""
        self._timeout_s = timeout_s
        self._client: Client = (
            ClientBuilder()
            .no_proxy()  # what is measured must not be a proxy
            .follow_redirects(enable=False)
            .timeout(timedelta(seconds=timeout_s))
            .pool_idle_timeout(timedelta(seconds=IDLE_S))
            .max_connections(CONNECTIONS_MAX)
            .user_agent("perfcheck")
            .build()
        )

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self._client.close()

    async def get(self, url: str, *, timeout_s: float | None = None) -> Reply:
        """GET `url`; raises `TargetError` when nothing answers in time."""
        return await self._send("GET", url, None, timeout_s)

    async def put(self, url: str, body: Any) -> Reply:
        """PUT `body` as JSON to `url`; raises `TargetError` when nothing answers in time."""
        return await self._send("PUT", url, msgspec.json.encode(body), None)

    async def _send(
        self, method: str, url: str, body: bytes | None, timeout_s: float | None
    ) -> Reply:
        request = self._client.request(method, url)
        if body is not None:
            request = request.header("Content-Type", "application/json").body_bytes(body)
        if timeout_s is not None:
            request = request.timeout(timedelta(seconds=timeout_s))
        try:
            response = await request.build().send()
            content = bytes(await response.bytes())
        except RequestTimeoutError:
            limit = self._timeout_s if timeout_s is None else timeout_s
            raise NoAnswerInTimeError(f"{url} did not answer within {limit:.3g} s") from None
        except PyreqwestError as error:
            raise TargetError(f"{url} does not answer: {_cause(error)}") from None
        headers: dict[str, str] = {}
        for name, value in response.headers.items():  # a field sent twice is one list (RFC 9110)
            lower = name.lower()
            headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
        return Reply(url=url, status=response.status, headers=headers, body=content)


def _cause(error: PyreqwestError) -> str:
    """Return the innermost cause, which is the one that helps ("Connection refused")."""
    details = getattr(error, "details", None)
    causes = details.get("causes") if isinstance(details, dict) else None
    return str(causes[-1]["message"]) if causes else error.message

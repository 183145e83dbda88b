"""`HttpPurge`: caches that are purged by PURGE and BAN requests, each node by itself."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from asgi_isr.ports import Clock
from perfcheck_contracts import CdnPurge
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import RequestError
from pyreqwest.response import Response

from perfcheck_revalidator.cdn.names import names_of
from perfcheck_revalidator.cdn.port import CdnError, PurgeEvent
from perfcheck_revalidator.cdn.purge_requests import PurgeRequest, Style, requests_of

__all__ = ["HttpPurge"]

PURGE_REQUEST_S_MAX = 5.0
NODE_PURGE_S_MAX = 30.0  # all requests of one purge to one node
_NODE_CONNECTIONS_MAX = 64
_NODE_ANSWER_BYTES_MAX = 4096  # what is read of an answer
_DETAIL_CHARS_MAX = 200
_NODE_RETRY_AFTER_S_MAX = 300
_PASSING_STATUSES = frozenset({408, 425, 429})


class HttpPurge:
    """A `Cdn`: the nodes at `urls`, all of which must be purged.

    A purge is complete when every node has answered every request with 2xx; to repeat it does no
    harm. `token` goes with each request as `Authorization: Bearer`. `unhealthy_reason` says
    what was wrong with the last purge.
    """

    name = "http-purge"

    def __init__(
        self,
        urls: Sequence[str],
        clock: Clock,
        *,
        style: Style,
        token: str | None = None,
        request_timeout_s: float = PURGE_REQUEST_S_MAX,
        node_timeout_s: float = NODE_PURGE_S_MAX,
    ) -> None:
        self._urls = tuple(urls)
        self._clock = clock
        self._style = style
        self._token = token
        self._request_timeout_s = request_timeout_s
        self._node_timeout_s = node_timeout_s
        self._client: Client | None = None
        self.unhealthy_reason: str | None = None

    async def purge(self, events: Sequence[PurgeEvent], *, again: bool) -> list[CdnPurge]:
        """Purge the names of `events` from every node. Raises `CdnError` naming each that failed.

        It is permanent only if every failure is: the nodes that may recover are tried again.
        """
        requests = requests_of(names_of(events), self._style)
        submitted_at = self._now()
        client = self._connected()
        async with asyncio.TaskGroup() as tasks:
            nodes = [tasks.create_task(self._node(client, url, requests)) for url in self._urls]
        errors = [error for node in nodes if (error := node.result()) is not None]
        if errors:
            self.unhealthy_reason = "; ".join(map(str, errors))
            raise CdnError(
                self.unhealthy_reason,
                permanent=all(error.permanent for error in errors),
                retry_after_s=max(error.retry_after_s or 0.0 for error in errors) or None,
            )
        self.unhealthy_reason = None
        purge = CdnPurge(
            provider=self.name,
            again=again,
            status="completed",
            submitted_at=submitted_at,
            completed_at=self._now(),
        )
        return [purge] * len(events)

    async def completed(self, purge: CdnPurge) -> CdnPurge:
        """Return `purge`: it was complete when it was submitted."""
        return purge

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _connected(self) -> Client:
        if self._client is None:
            bound = timedelta(seconds=self._request_timeout_s)
            self._client = (
                ClientBuilder()
                .http1_only()
                .no_proxy()  # the nodes themselves are meant
                .follow_redirects(enable=False)
                .max_connections(_NODE_CONNECTIONS_MAX)
                .pool_timeout(bound)
                .connect_timeout(bound)
                .build()
            )
        return self._client

    async def _node(
        self, client: Client, url: str, requests: Sequence[PurgeRequest]
    ) -> CdnError | None:
        """Send `requests` to one node, one after the other; return what went wrong."""
        try:
            async with asyncio.timeout(self._node_timeout_s):
                for request in requests:
                    error = await self._send(client, url, request)
                    if error is not None:
                        return error
        except TimeoutError:
            return CdnError(f"{url}: not purged within {self._node_timeout_s:g} s")
        return None

    async def _send(self, client: Client, url: str, request: PurgeRequest) -> CdnError | None:
        builder = client.request(request.method, f"{url}/").headers(request.headers)
        if self._token is not None:
            builder = builder.bearer_auth(self._token)
        timed = builder.timeout(timedelta(seconds=self._request_timeout_s))
        try:
            async with asyncio.timeout(self._request_timeout_s), timed.build_streamed() as response:
                return await _judged(f"{url}: {request.method}", response)
        except TimeoutError:
            return CdnError(
                f"{url}: no answer to {request.method} within {self._request_timeout_s:g} s"
            )
        except RequestError as error:
            causes = error.details["causes"]
            reason = causes[-1]["message"] if causes else error.message
            return CdnError(f"{url}: {request.method}: {reason}")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), UTC)


async def _judged(what: str, response: Response) -> CdnError | None:
    """Return what is wrong with an answer; only 2xx says that the node has purged."""
    body = b""
    while len(body) < _NODE_ANSWER_BYTES_MAX:
        chunk = await response.body_reader.read_chunk()
        if chunk is None:
            break
        body += chunk.to_bytes()
    if 200 <= response.status < 300:  # noqa: PLR2004  statuses of RFC 9110
        return None
    text = " ".join(body.decode(errors="replace").split())[:_DETAIL_CHARS_MAX]
    return CdnError(
        f"{what} answered {response.status} {text}".rstrip(),
        permanent=300 <= response.status < 500 and response.status not in _PASSING_STATUSES,  # noqa: PLR2004
        retry_after_s=_retry_after_s(response.get_header("retry-after")),
    )


def _retry_after_s(value: str | None) -> float | None:
    """Read `Retry-After` in seconds (RFC 9110, section 10.2.3), bounded; a date is not read."""
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return float(min(int(value[:9]), _NODE_RETRY_AFTER_S_MAX))

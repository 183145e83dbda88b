"""What the command asks of the api over HTTP: invalidations, their receipts, writes of rates."""

import asyncio
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from perfcheck_contracts import (
    InvalidationAccepted,
    InvalidationWrite,
    Receipt,
    ReceiptList,
    WriteResult,
)

from perfcheck.exits import TargetError
from perfcheck.http import Http, HttpResponse
from perfcheck.stack.state import Service

INVALIDATE_ATTEMPTS_MAX = 4
AGAIN_S = 0.2  # before the second attempt; doubled before each further one
API_RETRY_AFTER_S_MAX = 5.0
APPLIED_MARGIN_S = 2.0  # it answers at its limit; the call may take a little longer
API_CALL_S_MAX = 10.0
PAGE_MAX = 200  # receipts of one page

# The same call may be answered otherwise soon: its first attempt is under way (409), too many
# calls (429), a part of the api or of what stands before it is away (502, 503, 504).
_TRANSIENT_STATUSES = frozenset({409, 429, 502, 503, 504})


class Api:
    """The api, by a client whose connections it shares."""

    def __init__(self, http: Http, service: Service) -> None:
        self._http = http
        self._base = f"{service.url}/api/v1"
        self._tokens = service.tokens

    async def invalidate(
        self, write: InvalidationWrite, *, key: str, wait_s: float | None = None
    ) -> InvalidationAccepted:
        """Publish an invalidation; with `wait_s` (0 to 25) return when all tasks have applied it.

        A call that fails in passing is repeated, a bounded number of times. `key` is its
        `Idempotency-Key`: however many attempts arrive, one event is published.

        Raises:
            TargetError: the api does not answer, or refuses.
            WrongUsageError: there is no token.

        """
        url = f"{self._base}/invalidations"
        timeout_s = API_CALL_S_MAX
        if wait_s is not None:
            url += f"?wait=applied&timeout_s={wait_s:.3f}"
            timeout_s = wait_s + APPLIED_MARGIN_S
        again_s = AGAIN_S
        for attempt in range(1, INVALIDATE_ATTEMPTS_MAX + 1):
            headers = self._tokens.headers("api", "invalidations:write")
            headers["Idempotency-Key"] = key
            try:
                reply = await self._http.post(url, write, headers=headers, timeout_s=timeout_s)
            except TargetError:
                if attempt == INVALIDATE_ATTEMPTS_MAX:
                    raise
                pause_s = again_s
            else:
                if reply.status not in _TRANSIENT_STATUSES or attempt == INVALIDATE_ATTEMPTS_MAX:
                    return reply.expect(200, 202).read(InvalidationAccepted)
                pause_s = _retry_after_s(reply, again_s)
            await asyncio.sleep(pause_s)
            again_s *= 2
        raise AssertionError("the last attempt returns or raises")

    async def receipt(self, event_id: str, source: str | None = None) -> Receipt | None:
        """Return what became of an event, None when the api knows none of that id.

        Publishers may use the same id: `source` says whose event is meant.
        """
        query = "" if source is None else f"?{urlencode({'source': source})}"
        reply = await self._http.get(
            f"{self._base}/invalidations/{quote(event_id, safe='')}{query}",
            headers=self._reading(),
        )
        return None if reply.status == 404 else reply.expect(200).read(Receipt)  # noqa: PLR2004 -- HTTP

    async def receipts(self, filters: Mapping[str, str], cursor: str | None = None) -> ReceiptList:
        """Return one page, newest first, of the receipts that the filters let through."""
        query = {**filters, **({} if cursor is None else {"cursor": cursor})}
        reply = await self._http.get(
            f"{self._base}/invalidations?{urlencode(query)}", headers=self._reading()
        )
        return reply.expect(200).read(ReceiptList)

    async def write_day(self, day: str, rates: Mapping[str, float]) -> WriteResult:
        """Replace the rates of a day; raises `TargetError` when the api does not take them."""
        reply = await self._http.put(
            f"{self._base}/days/{day}",
            {"rates": rates},
            headers=self._tokens.headers("api", "rates:write"),
        )
        return reply.expect(200, 201).read(WriteResult)

    def _reading(self) -> dict[str, str]:
        return self._tokens.headers("api", "invalidations:read")


def _retry_after_s(reply: HttpResponse, otherwise_s: float) -> float:
    """Return how long to wait: `Retry-After` in seconds (RFC 9110, section 10.2.3), bounded."""
    text = reply.headers.get("retry-after", "")
    return min(float(text), API_RETRY_AFTER_S_MAX) if text.isdecimal() else otherwise_s

"""Whether events were applied everywhere, and how long it took: from their receipts."""

import asyncio
from collections.abc import Mapping

from perfcheck_contracts import Receipt, percentile

from perfcheck import environment
from perfcheck.api import PAGE_MAX, Api
from perfcheck.events.timeline import propagation_ms
from perfcheck.exits import TargetError

RECEIPTS_POLL_S = 0.5
FOLLOWED_SOURCE = "api"  # of the events that are followed; another publisher may use their ids
PAGES_SPARE = 5  # others may publish meanwhile; what they push out of sight is asked for by its id
SINGLES_MAX = 20  # of one look


class Propagation:
    """Follows events by their ids until each one is applied everywhere."""

    def __init__(self, api: Api) -> None:
        self.expected = 0
        self.times_ms: list[float] = []
        self.summary = ""  # of the last look
        self.last_error = ""  # why the last look failed
        self._api = api
        self._applied = 0
        self._pending: dict[str, str] = {}
        self._seen: dict[str, Receipt] = {}  # of those pending, as last heard

    def expect(self, event_id: str, name: str) -> None:
        """Follow an event from now on; `name` is what it is called in reports."""
        self.expected += 1
        self._pending[event_id] = name

    async def follow(self) -> None:
        """Look again and again, until cancelled; what the api does not answer is asked later."""
        while True:
            await asyncio.sleep(RECEIPTS_POLL_S)
            await self._try_to_look()

    async def settle(self, timeout_s: float) -> None:
        """Return when all that was expected is applied everywhere or dead, or the time is over."""
        deadline_s = environment.monotonic_s() + timeout_s
        await self._try_to_look()
        while self._open() and environment.monotonic_s() < deadline_s:
            await asyncio.sleep(RECEIPTS_POLL_S)
            await self._try_to_look()

    def text(self) -> str:
        """Return `250/250 applied everywhere, propagation p50 4.1 ms, p99 18 ms`."""
        line = f"{self._applied}/{self.expected} applied everywhere"
        if self.times_ms:
            middle, high = (percentile(self.times_ms, share) for share in (0.5, 0.99))
            line += f", propagation p50 {middle:.1f} ms, p99 {high:.1f} ms"
        return line

    def missing(self) -> list[str]:
        """Return for each event that is not known to be applied everywhere what is known of it."""
        return [
            f"{event_id} ({name}): {_standing(self._seen.get(event_id))}"
            for event_id, name in self._pending.items()
        ]

    def _open(self) -> bool:
        seen = (self._seen.get(event_id) for event_id in self._pending)
        return any(receipt is None or not receipt.dead for receipt in seen)

    async def _try_to_look(self) -> None:
        try:
            await self._look()
            self.last_error = ""
        except TargetError as error:
            self.last_error = str(error)
        self.summary = self.text()

    async def _look(self) -> None:
        """Read pages, newest first, until every pending event was met; then ask for the rest."""
        unmet = dict(self._pending)
        filters: Mapping[str, str] = {"limit": str(PAGE_MAX), "source": FOLLOWED_SOURCE}
        cursor, pages_left = None, self.expected // PAGE_MAX + PAGES_SPARE
        while unmet and pages_left:
            page = await self._api.receipts(filters, cursor)
            for receipt in page.receipts:
                if unmet.pop(receipt.id, None) is not None:
                    self._take(receipt)
            cursor, pages_left = page.next, pages_left - 1
            if cursor is None:
                break
        for event_id in list(unmet)[:SINGLES_MAX]:
            found = await self._api.receipt(event_id, FOLLOWED_SOURCE)
            if found is not None:
                self._take(found)

    def _take(self, receipt: Receipt) -> None:
        self._seen[receipt.id] = receipt
        if receipt.applied is None or receipt.applied.missing:
            return
        del self._pending[receipt.id], self._seen[receipt.id]
        self._applied += 1
        time_ms = propagation_ms(receipt)
        if time_ms is not None:
            self.times_ms.append(time_ms)


def _standing(receipt: Receipt | None) -> str:
    if receipt is None:
        return "no receipt"
    if receipt.dead:
        return f"dead, {receipt.dead}"
    if receipt.applied is not None and receipt.applied.missing:
        return f"not applied by {', '.join(sorted(receipt.applied.missing))}"
    return f"only {receipt.stage}"

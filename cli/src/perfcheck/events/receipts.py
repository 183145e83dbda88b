"""`perfcheck receipts`: what became of invalidations."""

import asyncio
from collections.abc import Mapping

from perfcheck_contracts import Receipt

from perfcheck.api import API_CALL_S_MAX, PAGE_MAX, Api
from perfcheck.console import Console
from perfcheck.events import timeline
from perfcheck.exits import TargetError
from perfcheck.http import Http
from perfcheck.stack.state import Service

WATCH_POLL_S = 1.0
LOOK_PAGES_MAX = 10  # of one look
NEWEST_PAGES_MAX = 200  # of one listing
KNOWN_MAX = 2 * LOOK_PAGES_MAX * PAGE_MAX  # receipts remembered, to tell what is new


async def show_one(
    event_id: str, source: str | None, service: Service, console: Console, *, as_json: bool
) -> None:
    """Print one receipt; raises `TargetError` when there is none of that id and source."""
    async with Http(timeout_s=API_CALL_S_MAX) as http:
        receipt = await Api(http, service).receipt(event_id, source)
    if receipt is None:
        whose = "" if source is None else f" from {source!r}"
        raise TargetError(
            f"no receipt of {event_id!r}{whose}: list the newest with `perfcheck receipts`"
        )
    console.data(timeline.as_json(receipt) if as_json else timeline.timeline(receipt))


async def show_newest(
    filters: Mapping[str, str], service: Service, console: Console, *, limit: int, as_json: bool
) -> None:
    """Print at most `limit` receipts, newest first."""
    found: list[Receipt] = []
    async with Http(timeout_s=API_CALL_S_MAX) as http:
        api, cursor, pages = Api(http, service), None, 0
        # A page may be short, even empty, where the filters let little through.
        while len(found) < limit and pages < NEWEST_PAGES_MAX:
            pages += 1
            size = min(limit - len(found), PAGE_MAX)
            page = await api.receipts({**filters, "limit": str(size)}, cursor)
            found += page.receipts
            cursor = page.next
            if cursor is None:
                break
    if cursor is not None and len(found) < limit:
        console.progress(f"stopped after {pages} pages: narrow it down with --since")
    if as_json:
        console.data(timeline.as_json({"receipts": found[:limit]}))
    elif found:
        console.data(timeline.table(found[:limit]))
    else:
        console.progress("no receipts")


async def watch(
    filters: Mapping[str, str], service: Service, console: Console, *, as_json: bool
) -> None:
    """Print a line for each new receipt, and for each that goes on, until it is cancelled.

    The first look is the start: what was there before is not printed. An api that does not answer
    for a while is told on stderr, and asked again.
    """
    async with Http(timeout_s=API_CALL_S_MAX) as http:
        changes, unreachable = Changes(), False
        await changes.look(Api(http, service), filters)  # a wrong token or filter ends it here
        console.progress("following new receipts; Ctrl-C ends it")
        if not as_json:
            console.progress(timeline.headings())
        while True:
            await asyncio.sleep(WATCH_POLL_S)
            try:
                news = await changes.look(Api(http, service), filters)
            except TargetError as error:
                if not unreachable:
                    console.progress(str(error))
                unreachable = True
                continue
            unreachable = False
            if changes.overrun:
                console.progress(
                    f"more than {LOOK_PAGES_MAX * PAGE_MAX} at once: some are not shown"
                )
            for receipt in news:
                line = timeline.as_json(receipt, indent=0) if as_json else timeline.rows([receipt])
                console.data(line)


class Changes:
    """What is new or has gone on since the last look."""

    def __init__(self) -> None:
        self.overrun = False  # there was more than one look reads
        self._known: dict[tuple[str, str], Receipt] = {}  # by source and id

    async def look(self, api: Api, filters: Mapping[str, str]) -> list[Receipt]:
        """Return the receipts that are new or other than before, oldest first.

        The first page is always compared; further ones only as far as all of a page is new.
        """
        first = not self._known
        news: list[Receipt] = []
        cursor, pages = None, 0
        while pages < LOOK_PAGES_MAX:
            page = await api.receipts({**filters, "limit": str(PAGE_MAX)}, cursor)
            pages += 1
            news += [each for each in page.receipts if self._known.get(_event(each)) != each]
            known = any(_event(each) in self._known for each in page.receipts)
            cursor = page.next
            if first or known or cursor is None:
                break
        self.overrun = pages == LOOK_PAGES_MAX and cursor is not None
        news.reverse()
        for receipt in news:
            self._known.pop(_event(receipt), None)
            self._known[_event(receipt)] = receipt
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]
        return news


def _event(receipt: Receipt) -> tuple[str, str]:
    """Return what an event is known by: a publisher may use an id that another uses."""
    return receipt.source, receipt.id

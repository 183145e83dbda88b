"""What an instance says of itself: that it is there, and how far it has come (rule 11)."""

import asyncio
import logging
import re
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from heapq import nlargest
from operator import attrgetter, itemgetter
from typing import NamedTuple

from asgi_isr.counters import Counters
from asgi_isr.errors import LogUnavailableError
from asgi_isr.http.vary import primary
from asgi_isr.pages.entry import Entry
from asgi_isr.ports import Log
from asgi_isr.reports import (
    INSTANCE_CHARS_MAX,
    POPULAR_BYTES_MAX,
    POPULAR_PAGES_MAX,
    POPULAR_PATH_CHARS_MAX,
    PopularPage,
    PopularPages,
    Report,
)

logger = logging.getLogger(__name__)

INTERVAL_S = 1.0  # a report that was lost is made good so soon
PAUSE_S = 0.002  # between two reports: events that come faster share one
REPORT_TIMEOUT_S = 1.0
LEAVE_TIMEOUT_S = 0.5
LIFE_CHARS = 12
_ENTRIES_MAX = 2 * POPULAR_PAGES_MAX  # several may be variants of one page
_PATHS_CHARS_MAX = POPULAR_BYTES_MAX // 5  # of one message; a character may take four bytes
POPULAR_MAX = 1024  # events whose pages wait for the next report
_NO_TOKEN = re.compile(r"[^A-Za-z0-9_-]")


def instance_name(wanted: str) -> str:
    """Return a name for one life of an instance, which may stand in a subject.

    It begins with what is wanted. No two lives share one: what the last one still says, and that it
    leaves, must not speak for the next.
    """
    unique = uuid.uuid4().hex[:LIFE_CHARS]
    prefix = _NO_TOKEN.sub("-", wanted)[: INSTANCE_CHARS_MAX - LIFE_CHARS - 1]
    return f"{prefix}-{unique}" if prefix else unique


def path_of(key: str) -> str:
    """Return path and query of the page at `key`, of whatever host and variant."""
    path = primary(key)
    return path if path.startswith("/") else "/" + path.split("/", 3)[-1]


class Standing(NamedTuple):
    """How far an instance has come: its position, and of each source the number up to which."""

    position: int
    source_seqs: Mapping[str, int]


class Reporter:
    """Reports for the instance `name`. No report holds up the log, a request or the lease.

    `standing` says how far the instance is, None before it has reached the log; `end_lease` is
    called before its last word goes out.
    """

    def __init__(
        self, log: Log, counters: Counters, *, name: str, lease_s: float,
        standing: Callable[[], Standing | None], end_lease: Callable[[], None],
    ) -> None:  # fmt: skip
        self._log = log
        self._counters = counters
        self._name = name
        self._lease_s = lease_s
        self._standing = standing
        self._end_lease = end_lease
        self._report_seq = 0
        self._moved = asyncio.Event()
        self._popular: deque[PopularPages] = deque(maxlen=POPULAR_MAX)

    def moved(self) -> None:
        """Report the position soon: it has moved."""
        self._moved.set()

    async def register(self) -> None:
        """Enter the live set, before the lease is renewed; raises `LogUnavailableError`."""
        report = self._report()
        if report is None:
            raise LogUnavailableError("has no position to register with yet")
        await self._log.register(report)

    def note_popular(self, entries: list[Entry], seq: int) -> None:
        """Name the pages that the event at `seq` made old with the next report."""
        if not entries:
            return
        hits: dict[str, int] = {}
        for entry in nlargest(_ENTRIES_MAX, entries, key=attrgetter("hits")):
            path = path_of(entry.page.key)
            hits[path] = hits.get(path, 0) + entry.hits
        pages, chars = [], 0
        for path, count in nlargest(POPULAR_PAGES_MAX, hits.items(), key=itemgetter(1)):
            chars += len(path)
            if len(path) <= POPULAR_PATH_CHARS_MAX and chars <= _PATHS_CHARS_MAX:
                pages.append(PopularPage(path=path, hits=count))
        self._popular.append(PopularPages(instance=self._name, seq=seq, pages=pages))

    async def run(self) -> None:
        """Report each move of the position, until cancelled; then leave."""
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(INTERVAL_S):
                        await self._moved.wait()
                self._moved.clear()
                await self._tell()
                await asyncio.sleep(PAUSE_S)
        finally:
            await self._leave()

    async def _tell(self) -> None:
        report = self._report()
        if report is None:
            return
        try:
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                while self._popular:  # before the position: who waits for that has them then
                    await self._log.popular(self._popular.popleft())
                await self._log.report(report)
        except Exception as error:
            # A log must raise LogUnavailableError; whatever else it raises is logged whole. The
            # next report says all that this one did.
            self._counters.unreported += 1
            if not isinstance(error, LogUnavailableError | TimeoutError):
                logger.warning("position not reported: %r", error, exc_info=True)

    async def _leave(self) -> None:
        """Say that no page is fresh here any more, so that nobody waits for the lease to end."""
        self._end_lease()
        report = self._report(leaving=True)
        if report is None:
            return
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._log.register(report)
        except Exception as error:  # as in `_tell`; the lease of which others know ends by itself
            if not isinstance(error, LogUnavailableError | TimeoutError):
                logger.warning("could not leave the live set: %r", error, exc_info=True)

    def _report(self, *, leaving: bool = False) -> Report | None:
        standing = self._standing()
        if standing is None:
            return None
        self._report_seq += 1
        return Report(
            instance=self._name,
            position=standing.position,
            lease_s=self._lease_s,
            report_seq=self._report_seq,
            source_seqs=dict(standing.source_seqs),
            leaving=leaving,
        )

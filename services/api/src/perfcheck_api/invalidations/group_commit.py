"""Group commit: events that are published at the same time share one transaction.

Writers of the outbox commit one after the other, and each commit is a round trip and a flush. So
while one group commits, the next one gathers; an event that comes alone waits for nobody.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from asgi_isr.events import Invalidation

from perfcheck_api import outbox
from perfcheck_api.db import Database
from perfcheck_api.errors import DatabaseUnavailableError
from perfcheck_api.outbox import Appended

__all__ = ["GroupCommit"]

GROUP_EVENTS_MAX = 64  # 32 MiB at most
EVENTS_WAITING_MAX = 1000


class _Place(NamedTuple):
    event: Invalidation
    traceparent: str | None
    appended: asyncio.Future[Appended]


class GroupCommit:
    """Appends events to the outbox while `run` runs."""

    def __init__(self, database: Database, *, waiting_max: int = EVENTS_WAITING_MAX) -> None:
        self._database = database
        self._waiting_max = waiting_max
        self._waiting: deque[_Place] = deque()
        self._some = asyncio.Event()

    async def append(self, event: Invalidation, traceparent: str | None = None) -> Appended:
        """Return the event's row once it is committed; `traceparent` is its request's.

        Whoever gives up before its group begins has published nothing.

        Raises:
            DatabaseUnavailableError: PostgreSQL cannot answer, or too many wait for it.

        """
        if len(self._waiting) >= self._waiting_max:
            raise DatabaseUnavailableError(
                f"too many events ({len(self._waiting)}) wait for the database"
            )
        appended: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Place(event, traceparent, appended))
        self._some.set()
        return await appended

    async def run(self) -> None:
        """Commit group after group until cancelled; then whoever waits is cancelled too."""
        group: list[_Place] = []
        try:
            while True:
                await self._some.wait()
                group = self._next()
                if group:
                    await self._commit(group)
        finally:
            for place in (*group, *self._waiting):
                place.appended.cancel()

    def _next(self) -> list[_Place]:
        group: list[_Place] = []
        while self._waiting and len(group) < GROUP_EVENTS_MAX:
            place = self._waiting.popleft()
            if not place.appended.done():
                group.append(place)
        if not self._waiting:
            self._some.clear()
        return group

    async def _commit(self, group: list[_Place]) -> None:
        """Commit a group; if one of it cannot be stored, each by itself."""
        try:
            async with self._database.transaction() as connection:
                rows = await outbox.append_many(
                    connection,
                    [place.event for place in group],
                    traceparents=[place.traceparent for place in group],
                )
        except Exception as error:  # noqa: BLE001  it is raised where each of them waits
            # Not when PostgreSQL is away: the group may be committed all the same.
            if len(group) > 1 and not isinstance(error, DatabaseUnavailableError):
                for place in group:
                    await self._commit([place])
                return
            for place in group:
                if not place.appended.done():
                    place.appended.set_exception(error)
            return
        for place, appended in zip(group, rows, strict=True):
            if not place.appended.done():
                place.appended.set_result(appended)

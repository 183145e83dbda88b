"""Whether the database still is the one that the log heard of last (rule 13 of the protocol)."""

from typing import NamedTuple

from perfcheck_api.db import Connection, server
from perfcheck_api.errors import SupersededError
from perfcheck_api.outbox import repository
from perfcheck_api.outbox.broker import Broker
from perfcheck_api.outbox.model import MARK_SUBJECT, Acknowledged
from perfcheck_api.outbox.witness import Witness, gone_back


class Compared(NamedTuple):
    """The database now, what the log heard of it last, and why the one does not follow the other.

    `heard` is None where the log has heard of none. Without a reason it does follow.
    """

    database: Witness
    heard: Witness | None
    reason: str | None

    def check_not_superseded(self) -> None:
        """Raise `SupersededError` where another database has taken over the log from this one."""
        if self.reason is None or self.heard is None:
            return
        if self.database.server.origin in self.heard.replaced:
            raise SupersededError(
                f"another database has the log since ({self.heard.server.origin}; this one is"
                f" {self.database.server.origin}): stop the api on the wrong one; if that is the"
                " other, run `python -m perfcheck_api take-log` here"
            )


async def compare(
    connection: Connection,
    broker: Broker,
    acknowledged: Acknowledged | None,
    *,
    mark_interval_s: float,
) -> Compared:
    """Compare the database with what the log heard of it; `acknowledged` as `verify` returned it.

    From here on `broker` publishes only as long as no other does for this service.
    """
    newest = await broker.newest()
    database = Witness(await server(connection), await repository.place(connection))
    if newest is None:
        # Not a new log, which `acknowledged` would not be in: a very old one.
        lost = "what the log heard of it last was removed by age" if acknowledged else None
        return Compared(database, None, lost)
    heard = newest.witness
    if heard is None:  # of an event in the middle of a batch: it has a row at least
        mark = await broker.newest(MARK_SUBJECT)
        heard = None if mark is None else mark.witness
    if heard is None:  # of a release without witnesses
        return Compared(database, None, None)
    reason = gone_back(
        heard,
        database,
        holds_row=await repository.holds_row(connection, heard.place),
        mark_interval_s=mark_interval_s,
    )
    event = newest.event_id
    if reason is None and event and not await repository.holds_event(connection, event):
        reason = f"it lacks the event {event}, which the log has"
    database = Witness(database.server, database.place, heard.replaced)
    return Compared(database, heard, reason)

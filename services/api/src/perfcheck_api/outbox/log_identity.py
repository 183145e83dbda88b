"""Whether the log still is the one that acknowledged our events (rule 7 of the protocol).

A broker may lose what it acknowledged: a majority of its disks, or the whole stream. Then sequences
would be used twice, and pages with an old fence would pass for fresh. The relay remembers the last
message that was acknowledged; if the log does not hold it, the log is replaced by one that begins
beyond every sequence ever used, and the rows that were lost are published again.
"""

import logging
from enum import Enum

from perfcheck_api.db import Connection
from perfcheck_api.errors import BrokerError
from perfcheck_api.outbox import repository
from perfcheck_api.outbox.broker import Broker, LogState
from perfcheck_api.outbox.model import Acknowledged

_log = logging.getLogger(__name__)

_ROWS_PER_LOOK = 256
_LOOKS_MAX = 16  # beyond these rows everything counts as lost: publishing twice does no harm


class Recovery(Enum):
    """What to do about the log, so that it can be published to."""

    USE = "use"  # it is the one we know, or the first one
    REPUBLISH = "republish"  # somebody created it again already
    REPLACE = "replace"  # it is gone, or lost its end


def judge(log: LogState | None, last: Acknowledged | None, id_at_last: str | None) -> Recovery:
    """Compare `log` with the `last` acknowledged message.

    `id_at_last` is the id of our message that the log holds at `last.seq`, None if it holds none.
    """
    if last is None:
        return Recovery.USE
    if log is None:
        return Recovery.REPLACE
    if log.created_at > last.seq:
        return Recovery.REPUBLISH
    if log.last < last.seq:
        return Recovery.REPLACE
    if last.seq < log.first:
        return Recovery.USE  # it was held, and removed by age or size since
    return Recovery.USE if id_at_last == str(last.message_id) else Recovery.REPLACE


async def verify(connection: Connection, broker: Broker) -> Acknowledged | None:
    """Make sure that the log may be published to; return the last acknowledged message in it.

    Raises:
        BrokerError: the broker is out of reach, or its clock is behind the old log's.

    """
    last = await repository.last_acknowledged(connection)
    log = await broker.state()
    held = log is not None and last is not None and log.first <= last.seq <= log.last
    at_last = await broker.own_message(last.seq) if held and last is not None else None
    recovery = judge(log, last, None if at_last is None else at_last.message_id)
    if recovery is Recovery.USE or last is None:
        await broker.ensure_log()
        return last
    found = 0
    if recovery is Recovery.REPLACE:
        found = await _last_found(connection, broker, log)
        await broker.replace_log()
        fresh = await broker.state()
        if fresh is None or fresh.created_at <= last.seq:
            raise BrokerError(
                f"the log was created again, but not beyond sequence {last.seq}: the clock of this"
                " machine is behind that of the one which created the old log; set it"
            )
    lost = await repository.unpublish_after(connection, found)
    _log.error(
        "the log lost what it had acknowledged (last %s, found up to %s): %s;"
        " publishing %s events again",
        last.seq, found, recovery.value, lost,
    )  # fmt: skip
    return None


async def _last_found(connection: Connection, broker: Broker, log: LogState | None) -> int:
    """Return the sequence of the newest of our rows that the log still holds, 0 for none."""
    if log is None:
        return 0
    upper = log.last
    for _ in range(_LOOKS_MAX):
        rows = await repository.published_up_to(connection, upper, rows_max=_ROWS_PER_LOOK)
        for row in rows:
            if row.seq < log.first:
                return row.seq  # removed by age or size, after everybody could read it
            held = await broker.own_message(row.seq)
            if held is not None and held.message_id == str(row.message_id):
                return row.seq
        if len(rows) < _ROWS_PER_LOOK:
            return 0
        upper = rows[-1].seq - 1
    return 0

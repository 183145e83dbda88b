"""Giving the log to this database by hand, after another one has taken it over (rule 13)."""

from perfcheck_chassis.secret import Secret

from perfcheck_api.db import connect
from perfcheck_api.locks import RELAY_LOCK
from perfcheck_api.outbox.broker import connected
from perfcheck_api.outbox.database_identity import compare
from perfcheck_api.outbox.log_identity import verify
from perfcheck_api.outbox.metrics import RelayMetrics
from perfcheck_api.outbox.publisher import Publisher
from perfcheck_api.outbox.witness import MARK_INTERVAL_S

_LOCK = "SELECT pg_advisory_lock(%s)"  # a relay that was superseded gives it back at once
_STATEMENT_S_MAX = 30.0


async def take_log(
    database_url: Secret, nats_url: str, *, metrics: RelayMetrics, tls_ca_file: str = ""
) -> bool:
    """Invalidate everything in the name of this database; False if the log is its own already.

    Raises:
        BrokerError: the log cannot be reached, or its relay published at the same moment.
        DatabaseError: the database cannot be reached, or its relay is active.

    """
    async with (
        connected(nats_url, name="take-log", tls_ca_file=tls_ca_file) as broker,
        connect(database_url, name="take-log", statement_timeout_s=_STATEMENT_S_MAX) as connection,
    ):
        await connection.execute(_LOCK, (RELAY_LOCK,))
        acknowledged = await verify(connection, broker)
        compared = await compare(connection, broker, acknowledged, mark_interval_s=MARK_INTERVAL_S)
        if compared.reason is None:
            return False
        publisher = await Publisher.begin(
            connection, broker, acknowledged, compared.database, metrics
        )
        await publisher.invalidate_everything(compared.heard, f"by hand, as {compared.reason}")
        return True

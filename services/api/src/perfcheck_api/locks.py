"""Numbers of the advisory locks: all of a database share one space, so they stand together."""

MIGRATION_LOCK = 7_265_001  # everyone who migrates
RELAY_LOCK = 7_265_002  # the active relay
# Whoever changes rates. All days share it: whether a day is the latest, and which days are its
# neighbours, depends on the writes of other days. It is also the turn of the outbox's writers
# (migration 0004), so events of others wait while rates are written.
RATES_LOCK = 7_265_003
PRUNE_LOCK = 7_265_004  # whoever prunes receipts and idempotency keys

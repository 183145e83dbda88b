"""The outbox: an event is a row, written in the transaction of the change that it announces.

Rows are published in the order of their ids, which is the order of their commits: a trigger makes
writers of the outbox wait for each other until they commit. So no row becomes visible below one
that was seen, and "every row up to N is in the log" is a statement that stays true. The price is
that transactions with events commit one after the other; append last, and they hardly meet. The
wait is bounded by `lock_timeout`.

Ids are microseconds since 1970, or one more than the id before (migration 0007): no id is given
twice, also not by a database that was put back to an earlier state.
"""

from perfcheck_api.outbox.model import OUTBOX_SOURCE, Appended
from perfcheck_api.outbox.writer import append, append_many

__all__ = ["OUTBOX_SOURCE", "Appended", "append", "append_many"]

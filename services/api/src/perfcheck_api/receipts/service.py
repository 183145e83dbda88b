"""Use cases of receipts: one, or a page of a list. It knows neither Litestar nor the driver."""

from perfcheck_contracts import Receipt, ReceiptList

from perfcheck_api.db import Database
from perfcheck_api.errors import Fault, NotFoundError
from perfcheck_api.receipts import repository
from perfcheck_api.receipts.model import LIST_WALKED_MAX, ReceiptFilter, cursor_of


class ReceiptsService:
    """Reads what became of invalidations.

    Every method raises `DatabaseUnavailableError` when PostgreSQL cannot answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def receipt(self, event_id: str, source: str | None = None) -> Receipt:
        """Return what became of an event; raise `NotFoundError` if it is not known (any more).

        Sources may use the same id. Without a `source` the events of this service come first.
        """
        found = None
        if "\0" not in f"{event_id}{source}":
            found = await repository.receipt(self._database, event_id, source)
        if found is None:
            detail = "there is no receipt with this id; receipts are kept for 7 days"
            raise NotFoundError("unknown-invalidation", Fault("id", detail), tags=())
        return found

    async def receipts(self, wanted: ReceiptFilter) -> ReceiptList:
        """Return one page of receipts, newest first.

        It may be shorter than asked for while `next` is given: what fits was rare on the way.
        """
        found, more = await repository.receipts(self._database, wanted, walked_max=LIST_WALKED_MAX)
        return ReceiptList(receipts=found, next=None if more is None else cursor_of(more))

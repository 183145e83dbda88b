"""Reading which receipts are wanted. Each mistake names its field. Pure: no I/O, no clock."""

import re
from datetime import UTC, datetime
from typing import get_args

from asgi_isr.keys import canonical_tag
from perfcheck_contracts import Stage

from perfcheck_api.errors import BadRequestError, Fault
from perfcheck_api.receipts.model import LIST_LIMIT_MAX, ReceiptFilter, position_of


def filter_from(
    *,
    source: str | None,
    stage: str | None,
    tag: str | None,
    since: str | None,
    until: str | None,
    limit: str,
    cursor: str | None,
) -> ReceiptFilter:
    """Return which receipts are wanted; raise `BadRequestError` naming every bad parameter."""
    faults: list[Fault] = []
    for field, text in (("source", source), ("tag", tag)):
        if text is not None and "\0" in text:
            faults.append(Fault(field, "contains the character NUL"))
    stages: tuple[Stage, ...] = get_args(Stage)
    wanted = next((known for known in stages if known == stage), None)
    if stage is not None and wanted is None:
        faults.append(Fault("stage", f"expected one of {', '.join(stages)}"))
    count = int(limit) if re.fullmatch("[0-9]{1,4}", limit, re.ASCII) else 0
    if not 1 <= count <= LIST_LIMIT_MAX:
        faults.append(Fault("limit", f"expected a whole number from 1 to {LIST_LIMIT_MAX}"))
    after = None if cursor is None else position_of(cursor)
    if cursor is not None and after is None:
        faults.append(Fault("cursor", "is not the `next` of a list; start without a cursor"))
    start, end = _time(since, "since", faults), _time(until, "until", faults)
    if start is not None and end is not None and start >= end:
        faults.append(Fault("since", "is not before `until`"))
    if faults:
        raise BadRequestError(*faults)
    return ReceiptFilter(
        source=source,
        stage=wanted,
        tag=None if tag is None else canonical_tag(tag),
        since=start,
        until=end,
        limit=count,
        after=after,
    )


def _time(text: str | None, field: str, faults: list[Fault]) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        # UTC is what is meant where nothing is said; year 1 has no hours before UTC's.
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        detail = "expected a time such as 2026-10-30T15:00:00Z (RFC 3339)"
        faults.append(Fault(field, detail))
        return None

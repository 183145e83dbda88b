"""The only place of the service that reads the calendar."""

from datetime import UTC, date, datetime


def today_utc() -> date:
    """Return the current day in UTC; rates of a later day are refused."""
    return datetime.now(tz=UTC).date()  # noqa: TID251  this is the calendar's one module

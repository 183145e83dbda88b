"""The only place of the service that reads the calendar."""

import time
from datetime import UTC, date, datetime


def today_utc() -> date:
    """Return the current day in UTC; rates of a later day are refused."""
    return datetime.now(tz=UTC).date()  # noqa: TID251  this is the calendar's one module


def wall_s() -> float:
    """Return seconds since 1970; webhooks that were signed long ago are refused."""
    return time.time()  # noqa: TID251  as above

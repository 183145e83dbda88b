"""The one place where the command reads the environment and the clocks.

Everything else is given these values as arguments, so that decisions can be tested without either.
"""

import datetime as dt
import os
import time
from collections.abc import Mapping


def environ() -> Mapping[str, str]:
    """Return the variables of this process (read-only by convention)."""
    return os.environ  # noqa: TID251 -- the single place that reads it


def monotonic_s() -> float:
    """Return seconds of a clock that never goes back; for durations and deadlines."""
    return time.perf_counter()


def utc_now() -> dt.datetime:
    """Return the time of day in UTC; for reports and event times, never for durations."""
    return dt.datetime.now(tz=dt.UTC)  # noqa: TID251 -- the single place that reads it

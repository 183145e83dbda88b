"""The one place where the command reads the environment, the clocks and randomness.

Everything else is given these values as arguments, so that decisions can be tested without them.
"""

import datetime as dt
import os
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path


def environ() -> Mapping[str, str]:
    """Return the variables of this process (read-only by convention)."""
    return os.environ  # noqa: TID251 -- the single place that reads it


def command() -> list[str]:
    """Return how this command is started from another shell, wherever that shell stands."""
    installed = Path(sys.executable).with_name("perfcheck")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "perfcheck"]


def monotonic_s() -> float:
    """Return seconds of a clock that never goes back; for durations and deadlines."""
    return time.perf_counter()


def utc_now() -> dt.datetime:
    """Return the time of day in UTC; for reports and event times, never for durations."""
    return dt.datetime.now(tz=dt.UTC)  # noqa: TID251 -- the single place that reads it


def unix_s() -> float:
    """Return seconds since 1970; for the times that tokens name (RFC 7519, NumericDate)."""
    return utc_now().timestamp()


def new_id() -> str:
    """Return an id that nobody else has chosen."""
    return str(uuid.uuid4())

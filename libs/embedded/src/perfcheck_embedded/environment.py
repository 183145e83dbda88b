"""The one place of this package that reads the process environment and the wall clock."""

import datetime as dt
import os
from collections.abc import Mapping


def environment() -> Mapping[str, str]:
    """Return this process's environment variables."""
    return os.environ  # noqa: TID251 - the single place that reads it; all else takes it as argument


def wall_clock() -> str:
    """Return the present time in UTC as ISO 8601 with seconds."""
    return dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds")  # noqa: TID251 - as above

"""Logs: one JSON object a line on stderr, as CloudWatch and people with `jq` want them.

Fields: `ts` (UTC, milliseconds), `level`, `logger`, `msg`, `service`, `instance`, `exc` (traceback)
and whatever the call passed as `extra`.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

__all__ = ["JsonFormatter", "configure_logging"]

# What every record carries; any other attribute came with `extra`.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Renders a record as one line of JSON; a value that JSON has no form for shows by its repr."""

    def __init__(self, service: str, instance_id: str) -> None:
        super().__init__()
        self._service = service
        self._instance = instance_id

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        stamp = datetime.fromtimestamp(record.created, tz=UTC)
        line: dict[str, Any] = {
            "ts": stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "msg": record.getMessage(),
            "service": self._service,
            "instance": self._instance,
        }
        for name, value in record.__dict__.items():
            if name not in _STANDARD and name not in line:
                line[name] = value
        if record.exc_info:
            line["exc"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=repr).decode()


def configure_logging(service: str, instance_id: str, level: str) -> None:
    """Send every logger's records to stderr as JSON lines; replaces what was configured before.

    Call it once, when the process starts.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service, instance_id))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)

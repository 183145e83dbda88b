import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from perfcheck_chassis.logs import JsonFormatter, configure_logging


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """Give the root logger, and put it back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_line_is_one_json_object() -> None:
    """A record becomes one line with time, level, logger, message, service and instance."""
    record = logging.makeLogRecord(
        {
            "name": "shop.orders",
            "levelname": "WARNING",
            "msg": "took %s\nrows",
            "args": (3,),
            "created": 1790000000.25,
        }
    )
    line = JsonFormatter("shop", "shop-1").format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "ts": "2026-09-21T14:13:20.250Z",
        "level": "WARNING",
        "logger": "shop.orders",
        "msg": "took 3\nrows",
        "service": "shop",
        "instance": "shop-1",
    }


def test_exception_and_extra_are_kept() -> None:
    """The traceback goes to `exc`; extra fields appear by name, but never replace ours."""
    extra: dict[str, Any] = {"msg": "failed", "position": 5, "odd": {1}, "service": "x"}
    try:
        int("no number")
    except ValueError:
        extra["exc_info"] = sys.exc_info()
    record = logging.makeLogRecord(extra)
    line = json.loads(JsonFormatter("shop", "shop-1").format(record))
    assert "ValueError: invalid literal" in line["exc"]
    assert line["position"] == 5
    assert line["odd"] == [1]
    assert line["service"] == "shop"


def test_configuring_twice_logs_once(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Configuring replaces the handlers, so that each record is written once, above the level."""
    configure_logging("shop", "shop-1", "INFO")
    configure_logging("shop", "shop-2", "INFO")
    logging.getLogger("shop").debug("hidden")
    logging.getLogger("shop").info("seen", extra={"odd": object})
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["instance"] for line in lines] == ["shop-2"]
    assert len(root_logger.handlers) == 1

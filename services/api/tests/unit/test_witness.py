"""What the log heard of the database, compared with the database."""

from typing import Any

import msgspec
import pytest
from perfcheck_api.origin import Server
from perfcheck_api.outbox.witness import (
    MARK_INTERVAL_S,
    Place,
    Witness,
    decode,
    gone_back,
)

NOW_US = 1_790_000_000_000_000
S = 1_000_000
HEARD = Witness(
    Server(system="7714158703038059139", timeline="00000001", database=16385, started=NOW_US),
    Place(outbox="16400/16400", row=NOW_US + 5, event="e", wal=1000, time=NOW_US + 100 * S),
)


def _now(**changes: Any) -> Witness:
    """Return what the database is 10 s later, but for `changes`."""
    of_server = {name: changes.pop(name) for name in Server.__struct_fields__ if name in changes}
    later: dict[str, Any] = {"wal": 1200, "time": NOW_US + 110 * S} | changes
    return Witness(
        msgspec.structs.replace(HEARD.server, **of_server),
        msgspec.structs.replace(HEARD.place, **later),
    )


def _gone_back(now: Witness, *, holds_row: bool = True) -> str | None:
    return gone_back(HEARD, now, holds_row=holds_row, mark_interval_s=MARK_INTERVAL_S)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="the same"),
        pytest.param({"row": NOW_US + 50, "event": "f"}, id="further on"),
        pytest.param({"wal": 1000}, id="nothing written since"),
        pytest.param({"started": NOW_US + 101 * S}, id="restarted at once"),
        pytest.param(
            {"started": NOW_US + int((100 + 2 * MARK_INTERVAL_S) * S)}, id="restarted in time"
        ),
    ],
)
def test_a_database_that_goes_on(changes: dict[str, Any]) -> None:
    """Writes, and a restart that leaves no time unseen, are no reason to invalidate anything."""
    assert _gone_back(_now(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"system": "1"}, "another database", id="another cluster"),
        pytest.param({"timeline": "00000002"}, "another database", id="a point in time"),
        pytest.param({"database": 16999}, "another database", id="a dump"),
        pytest.param({"outbox": "16999/16999"}, "another table", id="a dump of tables"),
        pytest.param({"outbox": "16400/16999"}, "another table", id="truncated and filled"),
        pytest.param({"wal": 999}, "further on", id="a copy"),
        pytest.param(
            {"started": NOW_US + int((101 + 2 * MARK_INTERVAL_S) * S)},
            "restarted",
            id="time unseen",
        ),
        pytest.param({"started": NOW_US + 99 * S}, "restarted", id="two servers, or a clock"),
    ],
)
def test_a_database_that_went_back(changes: dict[str, Any], says: str) -> None:
    """Each sign alone is enough, and the reason names it."""
    assert says in (_gone_back(_now(**changes)) or "")


def test_a_row_that_is_missing() -> None:
    """A database without the newest row of then has gone back, whatever else it says."""
    assert "lacks row" in (_gone_back(_now(row=1), holds_row=False) or "")


def test_a_header_is_read_as_it_was_written() -> None:
    """And what is none of ours is none."""
    assert decode(HEARD.encode()) == HEARD
    assert [decode(text) for text in ("", "{}", "[]", HEARD.encode()[:-1])] == [None] * 4


def test_the_origins_that_were_replaced_are_remembered() -> None:
    """The newest eight, and never its own: it may have taken the log back."""
    witness = HEARD
    servers = [msgspec.structs.replace(HEARD.server, started=number) for number in range(10)]
    for server in servers:
        witness = Witness(server, HEARD.place).after(witness)
    assert witness.replaced == tuple(server.origin for server in servers[1:9])
    back = Witness(servers[5], HEARD.place).after(witness)
    assert back.replaced == tuple(servers[n].origin for n in (1, 2, 3, 4, 6, 7, 8, 9))

from uuid import uuid4

import pytest
from perfcheck_api.outbox.broker import LogState
from perfcheck_api.outbox.log_identity import Recovery, judge
from perfcheck_api.outbox.model import Acknowledged

ID = uuid4()
LAST = Acknowledged(1500, ID)


@pytest.mark.parametrize(
    ("log", "last", "id_at_last", "recovery"),
    [
        pytest.param(None, None, None, Recovery.USE, id="first start, no log yet"),
        pytest.param(LogState(1000, 1000, 999), None, None, Recovery.USE, id="first start, a log"),
        pytest.param(LogState(1000, 1000, 1500), LAST, str(ID), Recovery.USE, id="unchanged"),
        pytest.param(
            LogState(1000, 1000, 1900), LAST, str(ID), Recovery.USE, id="others published"
        ),
        pytest.param(LogState(1000, 1600, 1900), LAST, None, Recovery.USE, id="removed by age"),
        pytest.param(None, LAST, None, Recovery.REPLACE, id="vanished"),
        pytest.param(LogState(1000, 1000, 1499), LAST, None, Recovery.REPLACE, id="lost its end"),
        pytest.param(
            LogState(1000, 1000, 1900), LAST, "other", Recovery.REPLACE, id="end overwritten"
        ),
        pytest.param(LogState(1000, 1000, 1900), LAST, None, Recovery.REPLACE, id="hole"),
        pytest.param(
            LogState(2000, 2000, 1999), LAST, None, Recovery.REPUBLISH, id="created again"
        ),
    ],
)
def test_the_log_is_compared_with_the_last_acknowledged_message(
    log: LogState | None, last: Acknowledged | None, id_at_last: str | None, recovery: Recovery
) -> None:
    """Only a log that holds, or properly outlived, what it acknowledged may be gone on with."""
    assert judge(log, last, id_at_last) is recovery

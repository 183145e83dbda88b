"""Whether the matrix would find a mistake in the accounts."""

import pytest

from attack.attacker import attack
from attack.planted import PLANTED, Planted
from attack.system import system


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
async def test_one_right_too_many_is_found(planted: Planted) -> None:
    """With accounts that let somebody do more than they should, the same messages show it."""
    async with system(planted.plant) as attacked:
        report = await attack(attacked, planted.user, findings_max=planted.findings_max)
    assert any(planted.found in finding for finding in report.findings), report.findings

"""Every message of the matrix with every credential."""

import pytest

from attack.attacker import attack
from attack.system import CREDENTIALS, system

CELLS_MIN = 5_000  # fewer would be no matrix


@pytest.mark.parametrize("user", CREDENTIALS)
async def test_a_credential_reaches_what_its_rights_name_and_nothing_else(user: str) -> None:
    """Nothing else answers, changes or is heard; and each right that is named is one."""
    async with system() as attacked:
        report = await attack(attacked, user)
    assert not report.findings
    assert not report.unused
    assert report.sent >= CELLS_MIN

"""The accounts alone, without the permissions of users, which are a second line."""

import pytest

from attack.attacker import attack
from attack.planted import unbound
from attack.rights import UNBOUND, without_permissions
from attack.system import system


@pytest.mark.parametrize("user", UNBOUND)
async def test_an_account_keeps_in_whom_no_permission_binds(user: str) -> None:
    """It can spoil what is its own, and reaches nothing else, whatever it has delivered where."""
    async with system(unbound(user)) as attacked:
        report = await attack(attacked, user, rights=without_permissions(user))
    assert not report.findings

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("imports", "unwanted"),
    [
        (
            (
                "from perfcheck_chassis.settings import load, environment; "
                "from perfcheck_chassis.logs import configure_logging"
            ),
            ["litestar", "granian", "pyreqwest", "asyncio"],
        ),
        ("from perfcheck_chassis.process import serve", ["litestar", "pyreqwest"]),
        ("from perfcheck_chassis.http_client import ServiceClient", ["litestar", "granian"]),
    ],
)
def test_only_what_is_used_is_loaded(imports: str, unwanted: list[str]) -> None:
    """A process that uses part of the chassis does not pay for the rest."""
    program = f"import sys; {imports}; print(*sys.modules)"
    loaded = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    assert "perfcheck_chassis" in loaded
    assert not set(unwanted) & set(loaded)

import ast
from pathlib import Path

import perfcheck_chassis
import pytest
from perfcheck_chassis import limits


def test_stub_and_package_agree() -> None:
    """The names that type checkers see are those that load, each from the same module."""
    stub = Path(perfcheck_chassis.__file__).with_suffix(".pyi").read_text()
    declared = {
        alias.name: node.module
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    provided = {
        name: f"perfcheck_chassis.{module}" for name, module in perfcheck_chassis._HOME.items()
    }
    assert declared == provided
    for name in perfcheck_chassis._HOME:
        assert getattr(perfcheck_chassis, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    """A misspelt name fails as it does for any module."""
    with pytest.raises(AttributeError, match="no attribute 'Helth'"):
        _ = getattr(perfcheck_chassis, "Helth")  # noqa: B009  mypy would refuse the plain form


def test_limits_fit_together() -> None:
    """Clients close idle connections before the load balancer (50 s), and it before the server."""
    assert limits.CLIENT_IDLE_S < 50 < limits.SERVER_IDLE_S
    assert limits.REQUEST_S < limits.WORKER_STOP_S

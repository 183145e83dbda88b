"""Marks tests by their folder, and offers what several files need."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything below `integration/`."""
    for item in items:
        if (HERE / "integration") in item.path.parents:
            item.add_marker(pytest.mark.integration)

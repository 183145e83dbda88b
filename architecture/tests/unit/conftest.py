"""A tree with what a test plants in it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from architecture.tree import Package, packages

PROJECT = '[tool.uv.workspace]\nmembers = ["libs/*"]\n'


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[dict[str, str]], list[Package]]:
    """Give a function that writes modules, `package/module.py` to text, and reads the tree."""

    def write(files: dict[str, str]) -> list[Package]:
        (tmp_path / "pyproject.toml").write_text(PROJECT)
        for name, text in files.items():
            package = name.partition("/")[0]
            member = tmp_path / "libs" / package
            path = member / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            (member / "src" / package / "__init__.py").touch()
            (member / "pyproject.toml").touch()
        return packages(tmp_path)

    return write

"""The shape's checks find what was planted, and leave alone what is allowed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from architecture.edges import edges, edges_of, import_edges
from architecture.shape import FILE_LINES_MAX, FOLDER_MODULES_MAX, shape
from architecture.tree import Package, packages

Plant = Callable[[dict[str, str]], list[Package]]


def test_wide_folder_is_found(plant: Plant) -> None:
    """One module more than allowed is named with folder, figure, limit, and what to do."""
    files = {f"one/room/m{number}.py": "" for number in range(FOLDER_MODULES_MAX + 1)}
    (finding,) = shape(plant({"one/room/__init__.py": "", **files}))
    assert finding.place == "libs/one/src/one/room"
    assert str(finding).endswith(
        "16 modules, at most 15; gather those that belong together in a sub-package"
    )


def test_folder_at_the_limit_is_right(plant: Plant) -> None:
    """`__init__` does not count, nor do the modules of a folder below."""
    files = {f"one/room/m{number}.py": "" for number in range(FOLDER_MODULES_MAX)}
    below = {"one/room/below/__init__.py": "", "one/room/below/m.py": ""}
    assert shape(plant({"one/room/__init__.py": "", **files, **below})) == []


def test_long_file_is_found(plant: Plant) -> None:
    """A line more than allowed is named with file, figure and limit."""
    (finding,) = shape(plant({"one/long.py": "\n" * (FILE_LINES_MAX + 1)}))
    assert str(finding).startswith("libs/one/src/one/long.py: 301 lines, at most 300; ")
    assert shape(plant({"one/long.py": "\n" * FILE_LINES_MAX})) == []


@pytest.mark.parametrize(
    "code",
    [
        "VERSION = 1",
        "def f(): ...",
        "class C: ...",
        "if True:\n    import os",
        "print(1)",
        "x: int",
    ],
)
def test_code_in_init_is_found(plant: Plant, code: str) -> None:
    """Whatever runs or is defined in `__init__` is named with its line."""
    (finding,) = shape(plant({"one/room/__init__.py": f'"""A room."""\n{code}\n'}))
    assert finding.place == "libs/one/src/one/room/__init__.py:2"


def test_init_that_exports_is_right(plant: Plant) -> None:
    """Docstring, imports and `__all__` are what `__init__` is for."""
    text = '"""A room."""\nimport os\nfrom one.m import a\n__all__ = ["a"]\n'
    assert shape(plant({"one/room/__init__.py": text})) == []


def test_edges_are_counted_between_rooms_once() -> None:
    """Imports within a room, a second one between two, and those of `__init__` do not count."""
    pairs = [
        ("lib.a.x", "lib.b.y"),
        ("lib.a.z", "lib.b"),
        ("lib.b.y", "lib.a.x"),
        ("lib.a.x", "lib.a.z"),
        ("lib.c", "lib.a"),
        ("lib", "lib.a"),
        ("lib.a", "lib"),
        ("lib.a", "msgspec"),
    ]
    assert edges_of("lib", pairs) == {("a", "b"), ("b", "a"), ("c", "a")}


def test_edges_of_the_real_package() -> None:
    """The cache's rooms import each other; too many edges are a finding that names both figures."""
    count = len(import_edges())
    assert count > 20
    (finding,) = edges(limit=count - 1)
    assert f"{count} import edges" in finding.what
    assert f"at most {count - 1}" in finding.what
    assert edges(limit=count) == []


def test_every_member_is_looked_at() -> None:
    """The packages are those of the workspace, with their modules."""
    found = {package.name: len(package.modules) for package in packages()}
    assert set(found) == {
        "asgi_isr", "perfcheck", "perfcheck_api", "perfcheck_bff", "perfcheck_chassis",
        "perfcheck_contracts", "perfcheck_embedded", "perfcheck_revalidator",
    }  # fmt: skip
    assert all(count > 5 for count in found.values())


def test_no_member_is_forgotten_by_make() -> None:
    """The Makefile installs each member of the workspace."""
    root = Path(__file__).parents[3]
    (line,) = [
        line for line in (root / "Makefile").read_text().splitlines() if "MEMBERS :=" in line
    ]
    listed = set(line.partition(":=")[2].split())
    assert listed == {package.member.relative_to(root).as_posix() for package in packages()}

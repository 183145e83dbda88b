"""The packages that we ship, their folders and modules, read from the files alone."""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
INIT = "__init__.py"


class Module:
    """One source file of a package."""

    def __init__(self, path: Path, *, package: str, root: Path) -> None:
        self.path = path
        self.package = package
        self.place = path.relative_to(root).as_posix()

    @cached_property
    def text(self) -> str:
        """The source."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def syntax(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, self.place)

    @property
    def lines(self) -> int:
        """The number of lines."""
        return len(self.text.splitlines())


class Package(NamedTuple):
    """An importable package and all of its modules, sub-packages included."""

    name: str
    member: Path  # the folder with its pyproject.toml
    modules: tuple[Module, ...]

    def folders(self) -> Mapping[str, int]:
        """Return the number of modules of each folder, `__init__` aside."""
        counts: dict[str, int] = defaultdict(int)
        for module in self.modules:
            folder = module.place.rpartition("/")[0]
            counts[folder] += module.path.name != INIT
        return counts


def members(root: Path = ROOT) -> list[Path]:
    """Return the folders of the workspace's members, as the root's pyproject.toml lists them."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["uv"]["workspace"]["members"]
    found = (path for pattern in patterns for path in root.glob(pattern))
    return sorted(path for path in found if (path / "pyproject.toml").is_file())


def packages(root: Path = ROOT) -> list[Package]:
    """Return the package of each member."""
    return list(_packages(root))


def _packages(root: Path) -> Iterator[Package]:
    for member in members(root):
        for folder in sorted((member / "src").iterdir()):
            if (folder / INIT).is_file():
                modules = tuple(
                    Module(path, package=folder.name, root=root)
                    for path in sorted(folder.rglob("*.py"))
                )
                yield Package(folder.name, member, modules)

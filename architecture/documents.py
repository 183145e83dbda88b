"""What documents say of the tree: files in tables, symbols in maps, links to one another."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from architecture.tree import INIT

_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
_HOLDS = {"holds", "what it holds"}  # heads the second column of a table of files
_PART_OF_THE_ROW_BEFORE = "—"


def file_table(readme: str) -> list[str]:
    """Return the first cells of the table that says what lives where in a package."""
    cells: list[str] = []
    inside = False
    for line in readme.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        first, second = (cell.strip() for cell in (*line.strip("|").split("|"), "")[:2])
        if second in _HOLDS or first.startswith("in `src/"):
            inside = True
        elif inside and not first.startswith(("-", _PART_OF_THE_ROW_BEFORE)):
            cells.append(first)
    return cells


def named_files(cells: list[str], package: Path, member: Path) -> tuple[set[Path], list[str]]:
    """Return the paths that the cells name, and those names that are no file or folder.

    A name stands for itself, for a module without its suffix, or for a neighbour of the name
    before it (`rates/http.py` → `service.py`); a pattern for at least one file.
    """
    found: set[Path] = set()
    missing: list[str] = []
    for cell in cells:
        folder = package
        for name in _CODE.findall(cell):
            near = [folder, *(parent for parent in folder.parents if package in parent.parents)]
            paths = _resolve(name, (package, *near, member, package.parent))
            if paths:
                found |= paths
                folder = min(paths).parent
            else:
                missing.append(name)
    return found, missing


def _resolve(name: str, folders: Iterable[Path]) -> set[Path]:
    plain = name.rstrip("/")
    dotted = plain.replace(".", "/") if not plain.endswith(".py") else plain
    for folder in folders:
        for form in (plain, f"{plain}.py", dotted, f"{dotted}.py"):
            paths = {path.resolve() for path in folder.glob(form)} if "*" in form else set()
            if not paths and (folder / form).exists():
                paths = {(folder / form).resolve()}
            if paths:
                return paths
    return set()


def unnamed(package: Path, named: set[Path]) -> list[str]:
    """Return the modules and rooms of a package that no name leads to."""
    rooms = (
        child
        for child in package.resolve().iterdir()
        if (child.suffix == ".py" and child.name not in {INIT, "__main__.py"})
        or (child / INIT).is_file()
    )
    return sorted(
        room.name
        for room in rooms
        if not any(path == room or path.is_relative_to(room) for path in named)
    )


def map_rows(text: str) -> list[tuple[str, str]]:
    """Return task and `file::symbol` of every row of a table that has one in its second cell."""
    rows = re.findall(r"^\| *([^|]+?) *\| *`([^`|]+::[^`|]+)`", text, re.MULTILINE)
    return [(task, target) for task, target in rows]


def problem_with(target: str, root: Path) -> str:
    """Say why `file::symbol` leads nowhere; empty when the symbol is defined there."""
    place, _, symbol = target.partition("::")
    path = root / place
    if not path.is_file():
        return f"{place} does not exist"
    if path.suffix == ".toml":
        defined = symbol in set(_keys(tomllib.loads(path.read_text(encoding="utf-8"))))
    else:
        tree = ast.parse(path.read_text(encoding="utf-8"), place)
        defined = symbol in set(_symbols(tree.body))
    return "" if defined else f"{place} defines no {symbol}"


def _symbols(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + statement.name
        elif isinstance(statement, ast.ClassDef):
            yield prefix + statement.name
            yield from _symbols(statement.body, f"{prefix}{statement.name}.")
            yield from (f"{prefix}{statement.name}.{name}" for name in _attributes(statement))
        elif isinstance(statement, ast.Assign):
            yield from (prefix + ast.unparse(target) for target in statement.targets)
        elif isinstance(statement, ast.AnnAssign):
            yield prefix + ast.unparse(statement.target)


def _attributes(owner: ast.ClassDef) -> Iterator[str]:
    """Yield what the methods of a class set on its objects."""
    for node in ast.walk(owner):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Store()):
                yield node.attr


def _keys(table: dict[str, object], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")


def dead_links(document: Path) -> list[str]:
    """Return the relative links of a document that lead to no file or folder."""
    links = _LINK.findall(document.read_text(encoding="utf-8"))
    return [link for link in links if not (document.parent / link).exists()]

"""The shape of packages: folders that one can survey, short files, no code in `__init__`."""

import ast
from collections.abc import Iterable, Iterator

from architecture.findings import Finding
from architecture.tree import INIT, Module, Package

FOLDER_MODULES_MAX = 15
FILE_LINES_MAX = 300


def shape(packages: Iterable[Package]) -> list[Finding]:
    """Return every folder that is too wide, file that is too long, and `__init__` with code."""
    found: list[Finding] = []
    for package in packages:
        found += _wide_folders(package)
        for module in package.modules:
            found += _long_file(module)
            found += _code_in_init(module)
    return found


def _wide_folders(package: Package) -> Iterator[Finding]:
    for folder, count in package.folders().items():
        if count > FOLDER_MODULES_MAX:
            what = f"{count} modules, at most {FOLDER_MODULES_MAX}"
            yield Finding(folder, what, "gather those that belong together in a sub-package")


def _long_file(module: Module) -> Iterator[Finding]:
    if module.lines > FILE_LINES_MAX:
        what = f"{module.lines} lines, at most {FILE_LINES_MAX}"
        yield Finding(module.place, what, "make two files of its two jobs")


def _code_in_init(module: Module) -> Iterator[Finding]:
    if module.path.name != INIT:
        return
    for statement in module.syntax.body:
        if not (_is_docstring(statement) or _is_import(statement) or _is_all(statement)):
            place = f"{module.place}:{statement.lineno}"
            what = f"a statement ({type(statement).__name__}), only docstring, imports, `__all__`"
            yield Finding(place, what, "move it into a module and import it from there")


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_import(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Import | ast.ImportFrom)


def _is_all(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return False
    return [ast.unparse(target) for target in targets] == ["__all__"]

"""The packages as a table: files, lines, the widest folder."""

from collections.abc import Iterable, Iterator

from architecture.edges import ROOMS_OF, import_edges
from architecture.shape import FILE_LINES_MAX, FOLDER_MODULES_MAX
from architecture.tree import Package

COLUMNS = "{:<22} {:>6} {:>7} {:>5} {:>8}  {}"


def table(packages: Iterable[Package]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield COLUMNS.format("package", "files", "median", "p90", "longest", "widest folder")
    for package in packages:
        lines = sorted(module.lines for module in package.modules)
        folder, count = max(package.folders().items(), key=lambda item: item[1])
        widest = f"{count} {folder.rpartition('/src/')[2]}"
        p90 = _ranked(lines, 0.9)
        yield COLUMNS.format(package.name, len(lines), _ranked(lines, 0.5), p90, lines[-1], widest)
    yield COLUMNS.format("limit", "", "", "", FILE_LINES_MAX, FOLDER_MODULES_MAX)
    yield f"import edges between the rooms of {ROOMS_OF}: {len(import_edges())}"


def _ranked(values: list[int], share: float) -> int:
    return values[min(len(values) - 1, int(len(values) * share))]

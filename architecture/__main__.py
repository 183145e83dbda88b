"""`python -m architecture`: hold the shape of the tree; `--table` and `--edges` show it."""

import sys

from architecture.edges import edges, import_edges
from architecture.once import once
from architecture.shape import shape
from architecture.table import table
from architecture.tree import packages

USAGE = "usage: python -m architecture [--table | --edges]\n"


def main(arguments: list[str]) -> int:
    """Print what was asked for, or the findings; return 1 when there are any, 2 on wrong usage."""
    match arguments:
        case ["--table"]:
            lines = list(table(packages()))
        case ["--edges"]:
            lines = [f"{importer} -> {imported}" for importer, imported in sorted(import_edges())]
        case []:
            shipped = packages()
            findings = [*shape(shipped), *edges(), *once(shipped)]
            sys.stdout.write("".join(f"{finding}\n" for finding in findings))
            return 1 if findings else 0
        case _:
            sys.stderr.write(USAGE)
            return 2
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

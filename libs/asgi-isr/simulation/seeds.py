"""The seed that finds each planted fault, kept in `found_by.json`.

A change of the engine changes what a seed does. `make simulate` tries the kept seeds first, and
writes the file again where another one had to be found.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

FILE = Path(__file__).parent / "found_by.json"


def kept() -> dict[str, int]:
    """Return the kept seeds, by fault."""
    found: dict[str, int] = json.loads(FILE.read_text())
    return found


def tried(fault: str, more: Iterable[int]) -> Iterator[int]:
    """Yield the seeds to try for a fault: the kept one, if there is one, then `more`."""
    known = kept().get(fault)
    if known is not None:
        yield known
    yield from (seed for seed in more if seed != known)


def keep(found: dict[str, int], *, faults: Iterable[str]) -> list[str]:
    """Keep the seeds that found something; return what changed. Other than `faults` are dropped."""
    before = kept()
    after = {name: seed for name in faults if (seed := (before | found).get(name)) is not None}
    if after != before:
        FILE.write_text(json.dumps(after, indent=2) + "\n")
    return [
        f"{name}: {before.get(name)} -> {seed}"
        for name, seed in after.items() if before.get(name) != seed
    ]  # fmt: skip

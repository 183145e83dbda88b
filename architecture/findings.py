"""What a check found: where, which figure, its limit, and what to do."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that is not as it should be."""

    place: str
    what: str
    todo: str

    def __str__(self) -> str:
        """Say it in one line, the place first, so that an editor finds it."""
        return f"{self.place}: {self.what}; {self.todo}"

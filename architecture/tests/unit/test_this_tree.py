"""The tree has the shape that it is to have, and says every fact once."""

from architecture.edges import edges
from architecture.once import once
from architecture.shape import shape
from architecture.tree import packages

PACKAGES = packages()


def told(findings: object) -> str:
    """Return findings as `python -m architecture` prints them."""
    assert isinstance(findings, list)
    return "\n".join(str(finding) for finding in findings)


def test_shape() -> None:
    """No folder is too wide, no file too long, no `__init__` has code."""
    assert told(shape(PACKAGES)) == ""


def test_rooms_of_the_cache_know_few_of_each_other() -> None:
    """The import edges between the rooms of asgi-isr stay below their limit."""
    assert told(edges()) == ""


def test_every_fact_stands_once() -> None:
    """No constant, struct, subject, stream or function is defined in two packages."""
    assert told(once(PACKAGES)) == ""

"""What stands in two packages is found, each kind by what makes two of it the same."""

from collections.abc import Callable

import pytest

from architecture.once import once
from architecture.tree import Package

Plant = Callable[[dict[str, str]], list[Package]]

LONG = '''
def first(value, *, limit):
    """Say something."""
    total = 0
    for item in value:
        if item > limit:
            total += item
    return total
'''
OTHER_NAMES = '''
async_ = 1


def second(numbers, *, most):
    """Say something else,

    in more lines.
    """
    # and a comment
    found = 0
    for number in numbers:
        if number > most:
            found += number
    return found
'''


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("LIMIT_S = 1", "LIMIT_S = 1"),
        ("LIMIT_S = 1", "_LIMIT_S: int = 2"),
        ("A, LIMIT_S = 1, 2", "LIMIT_S = OTHER = 2"),
        ("class Note(Struct): ...", "class Note(msgspec.Struct, frozen=True): ..."),
        ("class Note(Struct): ...", "class Base(Struct): ...\nclass Note(Base): ..."),
        ("class _Note(Struct): ...", "def f():\n    class Note(Struct): ..."),
        ("call('cache.notes.v1')", "call('cache.notes.v1')"),
        ("call('cache.notes.v1.*')", "call(f'cache.notes.v1.{name}')"),
        ("call('CACHE_NOTES')", "call('CACHE_NOTES')"),
        (LONG, OTHER_NAMES),
    ],
)
def test_fact_in_two_packages_is_found(plant: Plant, one: str, two: str) -> None:
    """The finding names both places, and says what to do."""
    (finding,) = once(plant({"one/a.py": one, "two/b.py": two}))
    assert finding.place.startswith("libs/one/src/one/a.py:")
    assert "also in libs/two/src/two/b.py:" in finding.what
    assert "2, at most 1" in finding.what
    assert finding.todo


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("LIMIT_S = 1", "LIMIT_MS = 1"),
        ("LIMIT_S = 1", "from one.a import LIMIT_S\nprint(LIMIT_S)"),
        ("LIMIT_S = 1", "def f():\n    LIMIT_S = 1"),
        ("T = TypeVar('T')", "T = TypeVar('T')"),
        ("limit = 1", "limit = 1"),
        ("class Note(Struct): ...", "class Note: ..."),
        ("call('cache.notes.v1')", "call('cache.notes.v2')"),
        ("'''cache.notes.v1 is a subject.'''", "call('cache.notes.v1')"),
        (LONG, LONG.replace("+=", "-=")),
        (LONG, LONG.replace("> limit", "> LIMIT")),
        ("def f(a):\n    g(a)\n    h(a)\n    i(a)", "def f(a):\n    g(a)\n    h(a)\n    i(a)"),
    ],
)
def test_what_differs_is_left_alone(plant: Plant, one: str, two: str) -> None:
    """Other names, other texts, other work, imports, and what is too short to be a copy."""
    assert once(plant({"one/a.py": one, "two/b.py": two})) == []


def test_twice_in_one_package_is_its_own_affair(plant: Plant) -> None:
    """Modules of one package may have constants of one name."""
    assert once(plant({"one/a.py": "LIMIT_S = 1" + LONG, "one/b.py": "LIMIT_S = 2" + LONG})) == []


def test_three_packages_are_one_finding(plant: Plant) -> None:
    """A fact is told once, with all its places."""
    (finding,) = once(plant({f"{name}/m.py": "LIMIT_S = 1" for name in ("one", "two", "three")}))
    assert "packages: 3" in finding.what
    assert finding.what.count("m.py:1") == 2

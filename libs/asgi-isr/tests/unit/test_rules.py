"""The decisions of the protocol: documented, asked by the engine, and inlined rightly."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgi_isr import PageCache
from asgi_isr.coherence import RULES, Invalidated, Rules, Seen
from asgi_isr.coherence.rules import names
from asgi_isr.http.policy import Use
from asgi_isr.pages.entry import Entry
from asgi_isr.pages.page import Page
from asgi_isr.ports import Bounds, Mark
from asgi_isr.testing import FakeClock
from hypothesis import given
from hypothesis import strategies as st

DOCUMENT = Path(__file__).parents[4] / "docs" / "coherence.md"
PACKAGE = Path(__file__).parents[2] / "src" / "asgi_isr"
INLINED = {"fresh"}  # in `Lookup.hit`, and said of pages in general


def documented() -> Iterator[tuple[str, int]]:
    """Yield each rule that the document names, with the number under which it does."""
    for paragraph in re.split(r"\n(?=\d+\. )", DOCUMENT.read_text().split("## Rules")[1]):
        number = re.match(r"(\d+)\. ", paragraph)
        if number is not None:
            for named in re.findall(r"In code: ([^\n]*)", paragraph):
                yield from ((name, int(number[1])) for name in re.findall(r"`(\w+)`", named))


def coded() -> Iterator[tuple[str, int]]:
    """Yield each rule of the code, with the numbers that its docstring begins with."""
    for name in names():
        begin = re.match(r"Rules? ([\d and]+):", getattr(Rules, name).__doc__ or "")
        assert begin is not None, name
        yield from ((name, int(number)) for number in re.findall(r"\d+", begin[1]))


def test_documented_rules_are_those_of_the_code() -> None:
    """docs/coherence.md names each function under its rules, and no other."""
    assert sorted(documented()) == sorted(coded())


def test_every_rule_is_asked() -> None:
    """No decision stands in the rules that the engine takes elsewhere."""
    source = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    asked = set(re.findall(r"rules\s*\.(\w+)\(", source))
    assert names() - asked == INLINED


def test_rules_are_frozen_and_known() -> None:
    """A rule is replaced when the object is made, never later, and no name is invented."""
    planted = Rules(trusted=lambda _fence, _base: True)
    assert planted.trusted(1, 2)
    assert not RULES.trusted(1, 2)
    with pytest.raises(AttributeError, match="frozen"):
        planted.trusted = RULES.trusted  # type: ignore[method-assign]
    with pytest.raises(TypeError, match="not a rule: nothing"):
        Rules(nothing=lambda: True)


MOMENTS = st.integers(min_value=0, max_value=4)


@given(
    fence=MOMENTS, base=MOMENTS, now=MOMENTS, expires=MOMENTS, lease_until=MOMENTS,
    soft_since=st.none() | MOMENTS,
)  # fmt: skip
def test_hit_is_what_the_rules_call_fresh(
    *, fence: int, base: int, now: float, expires: float, lease_until: float,
    soft_since: float | None,
) -> None:  # fmt: skip
    """The hot path has `fresh` inlined: for every page, index, lease and moment they agree."""
    entry = Entry(page_at(fence), now=0.0, wall=0.0)
    entry.expires, entry.soft_since = expires, soft_since

    async def hit() -> Entry | None:
        async with PageCache(clock=FakeClock()) as cache:
            session = cache.session
            session.local.put(entry)
            session.index.base, session.lease.until = base, lease_until
            return cache.hit("/page", now, [])

    trusted = RULES.trusted(fence, base)
    fresh = RULES.fresh(
        trusted=trusted, invalidated=soft_since is not None, now=now, expires=expires,
        lease_until=lease_until,
    )  # fmt: skip
    assert (asyncio.run(hit()) is entry) is fresh
    assert (trusted and entry.use(now, lease_until) is Use.FRESH) is fresh


def page_at(fence: int) -> Page:
    """Return a page with this fence."""
    return Page(
        key="/page", status=200, headers=[], etag=b'"e"', given=False, bodies={"": b"text"},
        tags=("a",), fence=fence, created=0.0, ttl_s=60.0, swr_s=0.0, sie_s=0.0,
    )  # fmt: skip


KNOWN: dict[str, Any] = {"base": 5, "hard": {}, "soft": {}, "own_hard": {}, "own_soft": {}}


@pytest.mark.parametrize(
    ("fence", "known", "expected"),
    [
        (5, {}, Invalidated.NOT),
        (4, {}, Invalidated.HARD),
        (6, {"hard": {"a": 7}}, Invalidated.HARD),
        (7, {"hard": {"a": 7}}, Invalidated.NOT),
        (6, {"soft": {"a": 7}}, Invalidated.SOFT),
        (6, {"soft": {"a": 9}, "hard": {"b": 7}}, Invalidated.HARD),
        (6, {"hard": {"c": 7}}, Invalidated.NOT),
        (10**15, {"own_hard": {"b": 2**62 + 1}}, Invalidated.HARD),
        (10**15, {"own_soft": {"b": 2**62 + 1}}, Invalidated.SOFT),
        (6, {"own_soft": {"a": 7}, "hard": {"a": 7}}, Invalidated.HARD),
    ],
)
def test_page_is_judged_by_its_worst_tag(
    fence: int, known: dict[str, Any], expected: Invalidated
) -> None:
    """Hard counts before soft, and what was changed here like what the log has told."""
    assert RULES.invalidated(("a", "b"), fence, **(KNOWN | known)) is expected


@pytest.mark.parametrize(
    ("position", "stamp", "found", "expected"),
    [
        (9, "t", None, True),  # the log begins right after it
        (8, None, None, False),  # events are missing
        (12, "t", "t", True),
        (12, "t", "other", False),
        (12, None, None, True),
        (16, "t", None, False),  # it ends before
    ],
)
def test_log_is_held_to_what_was_seen(
    position: int, stamp: str | None, found: str | None, expected: object
) -> None:
    """The log goes on from a position, and holds there the event that was seen there."""
    assert RULES.holds(Bounds(10, 15), position, stamp, found) is expected


def test_waiter_takes_what_holds_all_that_it_has_seen() -> None:
    """The position at its arrival is consumed, and changes made here are in an overtaken page."""
    assert RULES.may_take(Seen(5, 2), 5, 2)
    assert not RULES.may_take(Seen(6, 2), 5, 2)
    assert not RULES.may_take(Seen(5, 3), 5, 2)
    assert RULES.may_take(Seen(5, 3), 5, None)


def test_lease_is_for_the_very_mark_and_ends_with_leaving() -> None:
    """Another event at the mark's sequence does not count; who has left has no lease."""
    assert RULES.consumed(Mark(7, "m"), 7, ["m"])
    assert not RULES.consumed(Mark(7, "m"), 6, ["m"])
    assert not RULES.consumed(Mark(7, "m"), 8, ["other"])
    assert RULES.lease_until(10.0, 15.0, left=False) == 25.0
    assert not RULES.lease_valid(10.0, RULES.lease_until(10.0, 15.0, left=True))

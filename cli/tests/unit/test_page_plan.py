"""Which pages are asked for."""

import pytest
from perfcheck.check.plan import evenly, pages


@pytest.mark.parametrize(
    ("count", "expected"), [(10, [0, 1, 2, 3, 4]), (3, [0, 2, 4]), (2, [0, 4])]
)
def test_items_are_spread_evenly(count: int, expected: list[int]) -> None:
    """First and last are always among those chosen; few items are all taken."""
    assert evenly(range(5), count) == expected


def test_every_kind_of_page_is_planned_once() -> None:
    """All five kinds are there, no page twice, and each names what must stand in it."""
    found = pages(["JPY", "USD"], ["2026-10-30", "2026-10-29"], [2025, 2026])
    paths = [page.path for page in found]
    assert len(paths) == len(set(paths))
    assert {page.kind for page in found} == {"board", "currency", "pair", "day", "year"}
    assert {"/", "/currencies/USD", "/pairs/EUR/JPY", "/pairs/JPY/USD"} < set(paths)
    assert all(page.expect for page in found)


def test_one_currency_makes_no_pair_with_itself() -> None:
    """A pair of a currency with itself is no page."""
    assert "/pairs/USD/USD" not in [page.path for page in pages(["USD"], ["2026-10-30"], [2026])]

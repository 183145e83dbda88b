from datetime import date

import pytest
from perfcheck_api.rates.model import Neighbours, write_tags

THURSDAY, FRIDAY, MONDAY = date(2026, 10, 29), date(2026, 10, 30), date(2026, 11, 2)
ALWAYS = {"day:2026-10-30", "year:2026", "currencies"}


def _tags(
    near: Neighbours, *, existed: bool = True, exists: bool = True, codes: str = ""
) -> set[str]:
    tags = write_tags(FRIDAY, codes.split(), neighbours=near, existed=existed, exists=exists)
    assert len(tags) == len(set(tags))
    return set(tags)


def test_a_write_names_day_year_list_and_each_currency() -> None:
    """What shows the day, sums up the year, lists currencies, or shows one of those written."""
    assert _tags(Neighbours(THURSDAY, MONDAY), codes="USD JPY") == {
        *ALWAYS, "currency:usd", "currency:jpy",
    }  # fmt: skip


def test_the_newest_day_is_also_the_latest() -> None:
    """Without a later day, what shows the latest day changes as well."""
    assert _tags(Neighbours(THURSDAY, None)) == {*ALWAYS, "latest"}


@pytest.mark.parametrize(("existed", "exists"), [(False, True), (True, False)])
def test_neighbours_are_told_when_a_day_comes_or_goes(*, existed: bool, exists: bool) -> None:
    """Pages of the days before and after link to the day."""
    tags = _tags(Neighbours(THURSDAY, MONDAY), existed=existed, exists=exists)
    assert tags == {*ALWAYS, "day:2026-10-29", "day:2026-11-02"}


def test_years_are_told_when_a_year_comes_or_goes() -> None:
    """The first day of a year changes the list of years, and what links to the year."""
    near = Neighbours(date(2024, 12, 31), date(2027, 1, 4))
    assert _tags(near, existed=False) == {
        *ALWAYS, "day:2024-12-31", "day:2027-01-04", "years", "year:2024", "year:2027",
    }  # fmt: skip


def test_the_very_first_day_is_a_new_year_and_the_latest() -> None:
    """With no other day at all there is nobody else to tell."""
    assert _tags(Neighbours(None, None), existed=False) == {*ALWAYS, "latest", "years"}


def test_a_year_with_another_day_neither_comes_nor_goes() -> None:
    """One neighbour in the same year is enough for the year to exist."""
    tags = _tags(Neighbours(date(2025, 12, 31), MONDAY), existed=False)
    assert not {tag for tag in tags if tag.startswith("year")} - {"year:2026"}


def test_nothing_comes_or_goes_when_there_was_nothing() -> None:
    """Removing rates from a day without any changes no neighbour."""
    assert _tags(Neighbours(THURSDAY, MONDAY), existed=False, exists=False) == ALWAYS

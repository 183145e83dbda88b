"""Rules of the reference rates: what exists, and which cache tags a page or a change carries.

Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import NamedTuple

FIRST_DAY = date(1999, 1, 4)  # the first reference rates of the euro
BASE_NAME = "Euro"
RATE_MIN = Decimal("0.000000001")
RATE_LIMIT = Decimal(1_000_000_000_000)  # rates lie below

CURRENCIES_TAG = "currencies"
YEARS_TAG = "years"
LATEST_TAG = "latest"
EVERYTHING_TAG = "*"


def currency_tag(code: str) -> str:
    """Return the tag of what shows rates of `code`."""
    return f"currency:{code.lower()}"


def day_tag(day: date) -> str:
    """Return the tag of what shows the rates of `day`."""
    return f"day:{day.isoformat()}"


def year_tag(year: int) -> str:
    """Return the tag of what sums up `year`."""
    return f"year:{year}"


class Series(NamedTuple):
    """Rates of one currency: two columns of one length, oldest day first."""

    days: list[date]
    rates: list[float]


class Neighbours(NamedTuple):
    """The nearest days with rates before and after a day, None where there is none."""

    previous: date | None
    next: date | None


def write_tags(
    day: date,
    currencies: Iterable[str],
    *,
    neighbours: Neighbours,
    existed: bool,
    exists: bool,
) -> tuple[str, ...]:
    """Return what a write of `day` makes old.

    `currencies` are those written or removed; `existed` and `exists` say whether the day had rates
    before, and has any now. A day that appears or disappears changes its neighbours' pages, which
    link to it; the first or last day of a year does the same to the neighbouring years.
    """
    tags = [day_tag(day), year_tag(day.year), CURRENCIES_TAG]
    tags += [currency_tag(code) for code in sorted(currencies)]
    if neighbours.next is None:
        tags.append(LATEST_TAG)
    if existed != exists:
        near = [neighbour for neighbour in neighbours if neighbour is not None]
        tags += [day_tag(neighbour) for neighbour in near]
        if all(neighbour.year != day.year for neighbour in near):
            tags.append(YEARS_TAG)
            tags += [year_tag(neighbour.year) for neighbour in near]
    return tuple(tags)

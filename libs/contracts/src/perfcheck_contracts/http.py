"""Requests and responses of the api service: JSON over HTTP under `/api/v1`.

A rate is units of the currency per one euro; a change is a fraction of the previous rate (0.01 is
one per cent). Days are ISO dates. Fields are added with defaults only, so that either side may be
deployed first.
"""

from datetime import date

import msgspec

from perfcheck_contracts.invalidations import Applied

__all__ = [
    "BASE_CURRENCY",
    "Currency",
    "CurrencyList",
    "CurrencySummary",
    "Day",
    "DayRate",
    "DayWrite",
    "History",
    "Pair",
    "WriteResult",
    "Year",
    "YearCurrency",
    "YearList",
]

BASE_CURRENCY = "EUR"  # every rate is against it


class CurrencySummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list of currencies; `rate` is the one of `last_day`."""

    code: str
    name: str
    first_day: date
    last_day: date
    rate: float


class CurrencyList(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /currencies`: every currency that ever had a rate, by code; without EUR, the base."""

    currencies: list[CurrencySummary]


class Currency(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /currencies/{code}`; `change` is null when `last_day` is the only day."""

    code: str
    name: str
    first_day: date
    last_day: date
    rate: float
    change: float | None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /currencies/{code}/rates`: two columns of one length, oldest day first."""

    currency: str
    from_: date = msgspec.field(name="from")
    to: date
    days: list[date]
    rates: list[float]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /pairs/{base}/{quote}`: units of `quote` per one `base`; columns, oldest day first."""

    base: str
    quote: str
    base_name: str
    quote_name: str
    days: list[date]
    rates: list[float]


class DayRate(msgspec.Struct, frozen=True, kw_only=True):
    """One currency's rate on a day; `change` is null when the previous day has none."""

    code: str
    name: str
    rate: float
    change: float | None


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /days/{date}` and `/days/latest`; `previous` and `next` are neighbours with data."""

    day: date
    previous: date | None
    next: date | None
    rates: list[DayRate]


class YearCurrency(msgspec.Struct, frozen=True, kw_only=True):
    """One currency's rates over a year: the first and the last, and what lies between."""

    code: str
    name: str
    first: float
    last: float
    min: float
    max: float
    mean: float


class Year(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /years/{year}`; `days` counts the days with data, neighbours are years with data."""

    year: int
    previous: int | None
    next: int | None
    days: int
    currencies: list[YearCurrency]


class YearList(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /years`: years with data, oldest first."""

    years: list[int]


class DayWrite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PUT /days/{date}` (replaces the day) and `PATCH` (merges; null removes a rate)."""

    rates: dict[str, float | None]


class WriteResult(Day, frozen=True, kw_only=True, omit_defaults=True):
    """Answer to a write: the day as it is now, and the id of the invalidation it published.

    `applied` answers `?wait=applied`.
    """

    event_id: str
    applied: Applied | None = None

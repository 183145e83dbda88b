"""A currency's page, a pair's page, and the list of currencies."""

from collections.abc import Sequence
from datetime import date

import msgspec
from perfcheck_contracts import Currency, CurrencySummary, History, Pair

from perfcheck_bff.site import formats
from perfcheck_bff.site.texts import Texts
from perfcheck_bff.site.views.history import HistoryView, history_view

__all__ = [
    "CurrenciesView",
    "CurrencyRow",
    "CurrencyView",
    "PairView",
    "currencies_view",
    "currency_view",
    "pair_view",
]

_PARTNERS = ("EUR", "USD", "JPY", "GBP", "CHF", "CNY", "AUD", "CAD", "SEK", "INR")
"""Pairs that a page links to: what is traded most. All others are reached by their address; to
list them all, each page would depend on the list of currencies and so on every write."""


class CurrencyView(msgspec.Struct, frozen=True, kw_only=True):
    """A currency's page; `partners` are codes of pairs to link to."""

    code: str
    name: str
    partners: tuple[str, ...]
    history: HistoryView


class PairView(msgspec.Struct, frozen=True, kw_only=True):
    """A pair's page: units of `quote` per one `base`."""

    base: str
    quote: str
    base_name: str
    quote_name: str
    partners: tuple[str, ...]
    history: HistoryView


class CurrencyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list of currencies."""

    code: str
    name: str
    first: date
    last: date
    value: float
    rate: str


class CurrenciesView(msgspec.Struct, frozen=True, kw_only=True):
    """The list of currencies: those with a rate on `day`, the latest of all, and the others."""

    day: date
    current: tuple[CurrencyRow, ...]
    former: tuple[CurrencyRow, ...]


def currency_view(currency: Currency, history: History, texts: Texts) -> CurrencyView:
    """Lay out a currency; the history has at least one day, for else it would be unknown."""
    return CurrencyView(
        code=currency.code,
        name=currency.name,
        partners=_partners(currency.code),
        history=history_view(history.days, history.rates, texts),
    )


def pair_view(pair: Pair, texts: Texts) -> PairView:
    """Lay out a pair that has at least one day in common."""
    return PairView(
        base=pair.base,
        quote=pair.quote,
        base_name=pair.base_name,
        quote_name=pair.quote_name,
        partners=_partners(pair.base, pair.quote),
        history=history_view(pair.days, pair.rates, texts),
    )


def currencies_view(currencies: Sequence[CurrencySummary]) -> CurrenciesView:
    """Split the list, at least one, by whether a currency still has rates."""
    day = max(currency.last_day for currency in currencies)
    rows = [
        CurrencyRow(
            code=currency.code,
            name=currency.name,
            first=currency.first_day,
            last=currency.last_day,
            value=currency.rate,
            rate=formats.rate(currency.rate),
        )
        for currency in currencies
    ]
    return CurrenciesView(
        day=day,
        current=tuple(row for row in rows if row.last == day),
        former=tuple(row for row in rows if row.last != day),
    )


def _partners(*codes: str) -> tuple[str, ...]:
    return tuple(code for code in _PARTNERS if code not in codes)

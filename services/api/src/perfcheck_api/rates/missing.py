"""What there is no rate of: the errors say why, and carry the tags of what would change that.

Pure: today's date comes as an argument.
"""

from datetime import date

from perfcheck_contracts import BASE_CURRENCY

from perfcheck_api.errors import Fault, NotFoundError
from perfcheck_api.rates.model import (
    FIRST_DAY,
    LATEST_TAG,
    currency_tag,
    day_tag,
    year_tag,
)


def unknown_currency(code: str, *, field: str, tags: tuple[str, ...] = ()) -> NotFoundError:
    """Return the error for a code that nobody gave a rate for."""
    detail = f"no rates of {code} are known; GET /api/v1/currencies lists the currencies"
    if code == BASE_CURRENCY:
        detail = "EUR is the base of all rates; ask for a pair, such as /api/v1/pairs/EUR/USD"
    return NotFoundError(
        "unknown-currency", Fault(field, detail), tags=tags or (currency_tag(code),)
    )


def no_day(day: date, *, today: date) -> NotFoundError:
    """Return the error for a day without rates, saying why there are none."""
    detail = f"there are no rates of {day}: no business day, or not published yet"
    if day > today:
        detail = f"{day} is in the future (today is {today})"
    elif day < FIRST_DAY:
        detail = f"{day} is before {FIRST_DAY}, the first day of rates"
    return NotFoundError("no-such-day", Fault("date", detail), tags=(day_tag(day),))


def no_year(year: int) -> NotFoundError:
    """Return the error for a year without rates."""
    detail = f"there are no rates of {year}; GET /api/v1/years lists the years"
    return NotFoundError("no-such-year", Fault("year", detail), tags=(year_tag(year),))


def no_rates() -> NotFoundError:
    """Return the error for the latest day where there is none at all."""
    fault = Fault("date", "there are no rates yet; `perfcheck ingest` loads them")
    return NotFoundError("no-such-day", fault, tags=(LATEST_TAG,))

"""Reading what callers send: codes, days, ranges and bodies. Each mistake names its field.

Pure: today's date comes as an argument.
"""

import re
from collections.abc import Collection
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from perfcheck_contracts import BASE_CURRENCY

from perfcheck_api.errors import BadRequestError, Fault, NotFoundError, RejectedError
from perfcheck_api.rates.model import (
    CURRENCIES_TAG,
    FIRST_DAY,
    RATE_LIMIT,
    RATE_MIN,
)

_CODE = re.compile(r"[A-Za-z]{3}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_YEAR = re.compile(r"\d{4}", re.ASCII)
_SHOWN_CHARS_MAX = 40
_DIGITS_MAX = 20

# Numbers are kept as they were written: 1.0853 is not the nearest binary fraction, and 1e999 is a
# number that a rule refuses by name, not one that cannot be read.
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def code_from(text: str, *, field: str) -> str:
    """Return the canonical code; raise `NotFoundError` for what can never be one."""
    if not _CODE.fullmatch(text):
        fault = Fault(field, f"{_shown(text)} is not a currency code; expected one such as USD")
        raise NotFoundError("unknown-currency", fault, tags=(CURRENCIES_TAG,))
    return text.upper()


def pair_from(base_text: str, quote_text: str) -> tuple[str, str]:
    """Return two codes; raise as `code_from` does, and `BadRequestError` for one code twice."""
    base = code_from(base_text, field="base")
    quote = code_from(quote_text, field="quote")
    if base == quote:
        raise BadRequestError(Fault("quote", f"{quote} is the base as well; name two"))
    return base, quote


def day_from(text: str, *, field: str) -> date:
    """Return the day; raise `BadRequestError` for anything but `YYYY-MM-DD`."""
    if _DAY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass  # such as 2026-02-30
    raise BadRequestError(Fault(field, f"{_shown(text)} is not a date; expected YYYY-MM-DD"))


def year_from(text: str) -> int:
    """Return the year; raise `BadRequestError` for anything but four digits, or year 0000."""
    if not _YEAR.fullmatch(text) or text == "0000":
        raise BadRequestError(Fault("year", f"{_shown(text)} is not a year; expected YYYY"))
    return int(text)


def range_from(
    first: str | None, last: str | None, *, today: date
) -> tuple[date | None, date | None]:
    """Return an inclusive range, open where nothing is given.

    Raises `BadRequestError` for bad dates, a reversed range, and one that can hold no day: wholly
    in the future, or before the euro.
    """
    start = None if first is None else day_from(first, field="from")
    end = None if last is None else day_from(last, field="to")
    if start is not None and end is not None and start > end:
        raise BadRequestError(
            Fault("from", f"{start} is after {end}, the end of the range"),
            Fault("to", f"{end} is before {start}, the start of the range"),
        )
    if start is not None and start > today:
        raise BadRequestError(Fault("from", f"{start} is in the future (today is {today})"))
    if end is not None and end < FIRST_DAY:
        raise BadRequestError(Fault("to", f"{end} is before {FIRST_DAY}, the first day of rates"))
    return start, end


def writable_day_from(text: str, *, today: date) -> date:
    """Return the day, as `day_from` does; raise `RejectedError` for one that can have no rates."""
    day = day_from(text, field="date")
    if day > today:
        raise RejectedError(Fault("date", f"{day} is in the future (today is {today})"))
    if day < FIRST_DAY:
        raise RejectedError(Fault("date", f"{day} is before {FIRST_DAY}, the first day of rates"))
    return day


def rates_from(body: bytes, *, known: Collection[str], merge: bool) -> dict[str, Decimal | None]:
    """Return the rates that a body `{"rates": {"USD": 1.0853}}` names; null only with `merge`.

    Raises:
        BadRequestError: the body is not JSON.
        RejectedError: it is, but does not fit; every bad field is named.

    """
    try:
        document: Any = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(Fault("body", f"is not valid JSON: {error}")) from error
    except RecursionError as error:  # msgspec's answer to 50,000 brackets
        raise BadRequestError(Fault("body", "is nested too deeply")) from error
    if not isinstance(document, dict):
        raise RejectedError(Fault("body", 'expected an object such as {"rates": {"USD": 1.0853}}'))
    faults = [
        Fault(_shown_name(name), "is not a field of this body; it has only `rates`")
        for name in document
        if name != "rates"
    ]
    rates = document.get("rates")
    if not isinstance(rates, dict):
        reason = "expected an object" if "rates" in document else "is missing; expected an object"
        raise RejectedError(*faults, Fault("rates", f"{reason} from currency to rate"))
    if not rates:
        faults.append(Fault("rates", "names no currencies; to remove rates, PATCH them to null"))
    result: dict[str, Decimal | None] = {}
    for name, value in rates.items():
        code = name.upper()
        problem = _code_problem(code, known, result) or _rate_problem(value, merge=merge)
        if problem is not None:
            faults.append(Fault(f"rates.{_shown_name(name)}", problem))
        else:
            result[code] = None if value is None else Decimal(value)
    if faults:
        raise RejectedError(*faults)
    return result


def _code_problem(code: str, known: Collection[str], seen: Collection[str]) -> str | None:
    if code == BASE_CURRENCY:
        return "the euro is the base; its rate is always 1"
    if code not in known:
        return "is not a known currency"
    return "is named twice" if code in seen else None


def _rate_problem(value: Any, *, merge: bool) -> str | None:
    if value is None and merge:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return "expected a number" + (", or null to remove the rate" if merge else "")
    if not RATE_MIN <= value < RATE_LIMIT:
        return f"expected a number above zero, from {RATE_MIN} to below {RATE_LIMIT}"
    if len(Decimal(value).as_tuple().digits) > _DIGITS_MAX:
        return f"expected at most {_DIGITS_MAX} digits"
    return None


def _shown(text: str) -> str:
    """Return `text` in quotes, cut to a length that suits an error message."""
    return repr(text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "…")


def _shown_name(name: str) -> str:
    return name if len(name) <= _SHOWN_CHARS_MAX else name[:_SHOWN_CHARS_MAX] + "…"

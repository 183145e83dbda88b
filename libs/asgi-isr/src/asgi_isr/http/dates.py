"""HTTP dates (RFC 9110, section 5.6.7): read in all three forms, written in the preferred one."""

import re
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FLAGS = re.IGNORECASE | re.ASCII
_FORMS = (
    re.compile(rf"\w{{3}}, (?P<day>\d\d) (?P<month>\w{{3}}) (?P<year>\d{{4}}) {_TIME} GMT", _FLAGS),
    re.compile(rf"\w{{6,9}}, (?P<day>\d\d)-(?P<month>\w{{3}})-(?P<year>\d\d) {_TIME} GMT", _FLAGS),
    re.compile(rf"\w{{3}} (?P<month>\w{{3}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})", _FLAGS),
)
_CHARS_MAX = 33  # "Wednesday, 09-Sep-94 08:49:37 GMT"
_TWO_DIGITS = 2
_PIVOT = 70  # a two-digit year below it is of this century, as in POSIX
_SECONDS_MAX = 60  # a leap second


def parse(value: str) -> float | None:
    """Return the seconds since 1970, or None for what is no HTTP date."""
    return _parsed(value) if len(value) <= _CHARS_MAX else None


@lru_cache(maxsize=1024)
def _parsed(value: str) -> float | None:
    """Conditions repeat the same few dates, so the last ones are remembered."""
    found = next(filter(None, (form.fullmatch(value) for form in _FORMS)), None)
    if found is None:
        return None
    month = _MONTHS.get(found["month"].lower())
    year, second = int(found["year"]), int(found["second"])
    if month is None or second > _SECONDS_MAX:
        return None
    if len(found["year"]) == _TWO_DIGITS:
        year += 2000 if year < _PIVOT else 1900
    day, hour, minute = int(found["day"]), int(found["hour"]), int(found["minute"])
    try:
        return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp() + second
    except ValueError:
        return None  # no such day, or no such time


def form(seconds: float) -> bytes:
    """Return the date of `seconds` since 1970 as an IMF-fixdate."""
    return formatdate(seconds, usegmt=True).encode()

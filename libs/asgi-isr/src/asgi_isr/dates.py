"""HTTP dates (RFC 9110, section 5.6.7): read in all three forms, written in the preferred one."""

import re
from calendar import timegm
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
    re.compile(
        rf"\w{{3}}, (?P<day>\d\d) (?P<month>\w{{3}}) (?P<year>\d{{4}}) {_TIME} GMT", re.IGNORECASE
    ),
    re.compile(
        rf"\w{{6,9}}, (?P<day>\d\d)-(?P<month>\w{{3}})-(?P<year>\d\d) {_TIME} GMT", re.IGNORECASE
    ),
    re.compile(
        rf"\w{{3}} (?P<month>\w{{3}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})", re.IGNORECASE
    ),
)
_CENTURY = 100
_PIVOT = 70  # a two-digit year below it is of this century, as in POSIX
_DAYS_MAX = 31
_HOURS_MAX, _MINUTES_MAX, _SECONDS_MAX = 23, 59, 60


@lru_cache(maxsize=1024)
def parse(value: str) -> float | None:
    """Return the seconds since 1970, or None for what is no HTTP date.

    Conditions repeat the same few dates, so the last ones are remembered.
    """
    if not value.isascii():
        return None
    found = next(filter(None, (form.fullmatch(value) for form in _FORMS)), None)
    if found is None:
        return None
    month = _MONTHS.get(found["month"].lower())
    year, day = int(found["year"]), int(found["day"])
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
    if month is None or not 1 <= day <= _DAYS_MAX:
        return None
    if hour > _HOURS_MAX or minute > _MINUTES_MAX or second > _SECONDS_MAX:
        return None
    if year < _CENTURY:
        year += 2000 if year < _PIVOT else 1900
    return float(timegm((year, month, day, hour, minute, second)))


def form(seconds: float) -> bytes:
    """Return the date of `seconds` since 1970 as an IMF-fixdate."""
    return formatdate(seconds, usegmt=True).encode()

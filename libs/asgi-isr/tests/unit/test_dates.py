"""HTTP dates as a table of cases (RFC 9110, section 5.6.7)."""

import pytest
from asgi_isr.http.dates import form, parse
from hypothesis import given
from hypothesis import strategies as st

AT = 784_111_777.0  # the date of the RFC's examples


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", AT),
        ("Sunday, 06-Nov-94 08:49:37 GMT", AT),
        ("Sun Nov  6 08:49:37 1994", AT),
        ("sun, 06 NOV 1994 08:49:37 gmt", AT),
        ("Mon, 06 Nov 1994 08:49:37 GMT", AT),  # the day of the week says nothing new
        ("Wednesday, 09-Nov-94 08:49:37 GMT", AT + 3 * 86_400),
        ("Sun Nov 06 08:49:37 1994", AT),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1.0),
        ("Thursday, 01-Jan-70 00:00:00 GMT", 0.0),
        ("Tuesday, 01-Jan-69 00:00:00 GMT", 3_124_224_000.0),
        ("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800.0),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800.0),  # a leap second
        ("Mon, 01 Jan 0001 00:00:00 GMT", -62_135_596_800.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799.0),
    ],
)
def test_dates(text: str, seconds: float) -> None:
    """All three forms are read, whatever their case."""
    assert parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "-1", "now", "1994-11-06T08:49:37Z", "784111777",
        "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 32 Jan 1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
        "Tue, 29 Feb 2023 00:00:00 GMT", "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sat, 01 Jan 0000 00:00:00 GMT", "Sun Nov  0 08:49:37 1994", "Sun Feb 30 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, \uff106 Nov 1994 08:49:37 GMT", "Sün, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
    ],
)  # fmt: skip
def test_what_is_no_date(text: str) -> None:
    """A day or time that does not exist, another zone or form is no date."""
    assert parse(text) is None


def test_years_of_four_digits_are_taken_at_their_word() -> None:
    """The year 26 is not 2026: a broken clock of the origin must not make a page fresh."""
    assert (parse("Thu, 01 Jan 0026 00:00:00 GMT") or 0) < -60_000_000_000


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_what_is_written_is_read_back(seconds: int) -> None:
    """An IMF-fixdate of any second in four-digit years is that second."""
    assert parse(form(seconds).decode()) == seconds


@given(st.text(alphabet="Sun, 0619NovFeb-:GMT", max_size=36))
def test_no_text_is_an_error(text: str) -> None:
    """Whatever arrives is a date or none."""
    assert parse(text) is None or isinstance(parse(text), float)

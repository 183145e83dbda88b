from datetime import date
from decimal import Decimal

import pytest
from perfcheck_api.errors import BadRequestError, NotFoundError, RejectedError
from perfcheck_api.rates.input import (
    code_from,
    day_from,
    range_from,
    rates_from,
    writable_day_from,
    year_from,
)

TODAY = date(2026, 11, 2)
KNOWN = {"USD", "JPY", "GBP"}


def test_codes_are_folded_to_upper_case() -> None:
    """Either case is accepted, the canonical one comes out."""
    assert [code_from(text, field="code") for text in ("usd", "Usd", "USD")] == ["USD"] * 3


@pytest.mark.parametrize("text", ["", "US", "USDX", "U$D", "ÄÖÜ", "usd\n"])
def test_what_can_be_no_code_is_not_found(text: str) -> None:
    """The error names the field, and carries a tag that is valid whatever was asked for."""
    with pytest.raises(NotFoundError) as caught:
        code_from(text, field="base")
    assert (caught.value.faults[0].field, caught.value.tags) == ("base", ("currencies",))


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-1-1", "20260101", "2026-02-29", "2026-01-01T00:00", "١٢٣٤-01-01"]
)
def test_days_have_one_form(text: str) -> None:
    """Only YYYY-MM-DD of a day that exists is read; a path has one spelling."""
    with pytest.raises(BadRequestError, match="date: "):
        day_from(text, field="date")


def test_long_input_is_cut_in_messages() -> None:
    """An error does not send back all that it was sent."""
    with pytest.raises(BadRequestError) as caught:
        day_from("x" * 5000, field="date")
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("text", ["0000", "99", "02026", "-100", "year", "٢٠٢٦"])
def test_years_have_four_digits(text: str) -> None:
    """Anything else is refused by name."""
    with pytest.raises(BadRequestError, match="year: "):
        year_from(text)


def test_ranges_may_be_open_or_one_day() -> None:
    """Each end may be missing, and both may be the same day; the end may lie ahead."""
    assert range_from(None, None, today=TODAY) == (None, None)
    assert range_from("2026-11-02", "2026-11-02", today=TODAY) == (TODAY, TODAY)
    assert range_from(None, "2026-12-31", today=TODAY) == (None, date(2026, 12, 31))
    assert range_from("1990-01-01", None, today=TODAY) == (date(1990, 1, 1), None)


def test_today_may_be_written_tomorrow_may_not() -> None:
    """The limit is the day itself."""
    assert writable_day_from("2026-11-02", today=TODAY) == TODAY
    assert writable_day_from("1999-01-04", today=TODAY) == date(1999, 1, 4)
    with pytest.raises(RejectedError, match="2026-11-03 is in the future"):
        writable_day_from("2026-11-03", today=TODAY)
    with pytest.raises(RejectedError, match="1999-01-03 is before"):
        writable_day_from("1999-01-03", today=TODAY)


def test_rates_are_read_as_written() -> None:
    """Integers, fractions and exponents become decimals, digit by digit."""
    body = b'{"rates": {"usd": 1.0853, "JPY": 160, "GBP": 8.5e-1}}'
    assert rates_from(body, known=KNOWN, merge=False) == {
        "USD": Decimal("1.0853"),
        "JPY": Decimal(160),
        "GBP": Decimal("0.85"),
    }


def test_null_removes_only_in_a_merge() -> None:
    """In a replacement every rate is a number."""
    body = b'{"rates": {"USD": null}}'
    assert rates_from(body, known=KNOWN, merge=True) == {"USD": None}
    with pytest.raises(RejectedError, match=r"rates\.USD: expected a number"):
        rates_from(body, known=KNOWN, merge=False)


@pytest.mark.parametrize(
    "number", ["0", "-1", "1e12", "1e999", "-1e999", "1e-10", "9" * 400, '"1"', "[]", "{}", "false"]
)
def test_numbers_that_are_no_rate_are_named(number: str) -> None:
    """Zero, negative, boundless and other values are refused for their field."""
    with pytest.raises(RejectedError) as caught:
        rates_from(f'{{"rates": {{"USD": {number}}}}}'.encode(), known=KNOWN, merge=True)
    assert [fault.field for fault in caught.value.faults] == ["rates.USD"]


def test_one_currency_in_two_cases_is_refused() -> None:
    """Which of the two would count would be a matter of luck."""
    with pytest.raises(RejectedError, match=r"rates\.usd: is named twice"):
        rates_from(b'{"rates": {"USD": 1, "usd": 2}}', known=KNOWN, merge=False)


@pytest.mark.parametrize("opening", [b"[", b'{"rates":'])
def test_nesting_without_end_is_a_bad_request(opening: bytes) -> None:
    """A body that is all brackets is the caller's mistake, not a failure of the service."""
    with pytest.raises(BadRequestError, match="body: is nested too deeply"):
        rates_from(opening * 6000, known=KNOWN, merge=False)


def test_names_of_fields_are_cut() -> None:
    """A field of any length gives a message of bounded length."""
    body = b'{"rates": {"' + b"X" * 5000 + b'": 1}}'
    with pytest.raises(RejectedError) as caught:
        rates_from(body, known=KNOWN, merge=False)
    assert len(str(caught.value)) < 120

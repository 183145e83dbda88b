"""Numbers as people read them."""

import pytest
from perfcheck_bff.site import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_836_200.0, "1,836,200.00"),
        (20_275.17, "20,275.17"),
        (999.9996, "1000.000"),
        (175.68, "175.680"),
        (55.8015, "55.8015"),
        (1.1172, "1.1172"),
        (0.8338, "0.83380"),
        (0.0940, "0.094000"),
        (0.000049321, "0.000049321"),
        (0.99999999, "1.0000"),
    ],
)
def test_rates_keep_the_digits_that_matter(value: float, text: str) -> None:
    """Decimals follow the magnitude: about five significant digits, thousands apart."""
    assert formats.rate(value) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (0.0042, "+0.42%"),
        (-0.0042, "\N{MINUS SIGN}0.42%"),
        (0.0, "0.00%"),
        (-0.00004, "0.00%"),
        (2.1525, "+215.25%"),
        (12.5, "+1,250.00%"),
    ],
)
def test_percentages_are_signed(change: float, text: str) -> None:
    """The sign tells the direction without colour; what rounds to nothing has none."""
    assert formats.percent(change) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.0 GiB")],
)
def test_sizes_have_a_fitting_unit(count: int, text: str) -> None:
    """Bytes are shown in the largest unit that keeps them at one or more."""
    assert formats.byte_size(count) == text

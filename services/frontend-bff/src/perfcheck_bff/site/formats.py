"""Numbers as people read them; pure."""

__all__ = ["MINUS", "byte_size", "percent", "rate"]

MINUS = "\N{MINUS SIGN}"
_THOUSAND = 1000
_SIGNIFICANT_DIGITS = 5
_KIB = 1024


def rate(value: float) -> str:
    """Write a positive rate with the digits that the ECB publishes for its magnitude.

    Two decimals from 1,000, three from 100, four from 1, and five significant digits below, so
    that neither 20,275.17 rupiah nor 0.000049321 euro loses what matters.
    """
    if value >= _THOUSAND:
        return f"{value:,.2f}"
    if value >= 100:  # noqa: PLR2004 - the docstring is the table of these steps
        return f"{value:.3f}"
    if value >= 1:
        return f"{value:.4f}"
    if value <= 0:
        return "0"
    # The exponent of the number as it will be printed: 0.99999999 rounds up to 1.0000.
    exponent = int(f"{value:.{_SIGNIFICANT_DIGITS - 1}e}".partition("e")[2])
    return f"{value:.{_SIGNIFICANT_DIGITS - 1 - exponent}f}"


def percent(change: float) -> str:
    """Write a fraction as a percentage: 0.0042 is `+0.42%`; what rounds to nothing has no sign."""
    text = f"{abs(change) * 100:,.2f}%"
    if text == "0.00%":
        return text
    return f"+{text}" if change > 0 else f"{MINUS}{text}"


def byte_size(count: int) -> str:
    """Write a number of bytes in the largest binary unit that keeps it at 1 or more."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < _KIB:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _KIB
    return f"{size:.1f} GiB"

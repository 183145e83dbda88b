"""View models: what a page says about what the api answered."""

from datetime import date, timedelta

from perfcheck_bff.site import texts
from perfcheck_bff.site.views.currency import currencies_view, currency_view, pair_view
from perfcheck_bff.site.views.history import history_view
from perfcheck_bff.site.views.rates import board_view, day_view
from perfcheck_bff.site.views.year import year_view, years_view
from perfcheck_contracts import (
    Currency,
    CurrencySummary,
    Day,
    DayRate,
    History,
    Pair,
    Year,
    YearCurrency,
)

EN = texts.load("en")
DAY = date(2026, 10, 30)


def day_rate(code: str, change: float | None, rate: float = 2.0) -> DayRate:
    """Make one currency's rate on the day."""
    return DayRate(code=code, name=f"{code} name", rate=rate, change=change)


def day(*rates: DayRate) -> Day:
    """Make a day with these rates."""
    return Day(day=DAY, previous=date(2026, 10, 29), next=None, rates=list(rates))


def test_a_row_says_the_rate_both_ways() -> None:
    """A row shows what a euro buys and what a unit costs, and keeps the exact rate."""
    row = day_view(day(day_rate("USD", 0.01, rate=1.25))).rows[0]

    assert (row.rate, row.inverse, row.value) == ("1.2500", "0.80000", 1.25)
    assert (row.change, row.trend) == ("+1.00%", "up")


def test_bars_share_one_scale() -> None:
    """The largest change of the day fills its half, the others are in proportion."""
    rows = day_view(day(day_rate("A", 0.02), day_rate("B", -0.01))).rows

    assert [row.bar and row.bar.width for row in rows] == [50, 25]


def test_a_quiet_day_has_short_bars() -> None:
    """Below half a per cent the scale does not shrink any more."""
    row = day_view(day(day_rate("A", 0.001))).rows[0]

    assert row.bar is not None
    assert row.bar.width == 10


def test_a_first_day_has_no_change() -> None:
    """Without a previous rate there is neither a text nor a bar."""
    row = day_view(day(day_rate("NEW", None))).rows[0]

    assert (row.change, row.trend, row.bar) == ("", "same", None)


def test_the_board_names_the_largest_moves() -> None:
    """The tiles show the furthest up, the furthest down, and how many went where."""
    view = board_view(
        day(
            day_rate("A", 0.01),
            day_rate("B", 0.03),
            day_rate("C", -0.02),
            day_rate("D", 0.00001),
            day_rate("E", None),
        )
    )

    assert view.up is not None
    assert view.down is not None
    assert (view.up.code, view.up.change) == ("B", "+3.00%")
    assert view.down.code == "C"
    assert (view.balance.up, view.balance.down, view.balance.same) == (2, 1, 2)


def test_a_board_without_moves_names_none() -> None:
    """On a day when nothing fell there is no largest fall."""
    view = board_view(day(day_rate("A", 0.01)))

    assert view.down is None


def test_history_lists_the_newest_days_first() -> None:
    """Thirty days are listed, each with its change against the day before, also the thirtieth."""
    days = [date(2026, 1, 1) + timedelta(days=index) for index in range(40)]

    view = history_view(days, [float(index + 1) for index in range(40)], EN)

    assert len(view.recent) == 30
    assert view.recent[0] == view.latest
    assert (view.latest.day, view.latest.rate) == (days[-1], "40.0000")
    assert view.recent[-1].change == "+10.00%"


def test_history_of_a_single_day() -> None:
    """A currency's first day is a history, without changes and without a year before."""
    view = history_view([DAY], [4.0], EN)

    assert view.latest.change == ""
    assert view.year_ago is None
    assert view.low == view.high


def test_history_compares_with_a_year_ago() -> None:
    """The rate of 365 days before the last, or of the last day with one before that."""
    days = [date(2025, 10, 28), date(2026, 4, 1), DAY]

    view = history_view(days, [2.0, 9.0, 3.0], EN)

    assert view.year_ago is not None
    assert (view.year_ago.day, view.year_ago.change) == (date(2025, 10, 28), "+50.00%")


def test_history_has_a_table_of_years() -> None:
    """The chart's table says each year's lowest, highest and last rate, newest first."""
    view = history_view([date(2024, 5, 1), date(2024, 6, 1), DAY], [3.0, 2.0, 4.0], EN)

    assert [(row.year, row.low, row.high, row.last) for row in view.years] == [
        (2026, "4.0000", "4.0000", "4.0000"),
        (2024, "2.0000", "3.0000", "2.0000"),
    ]


def test_a_currency_links_to_pairs_with_others() -> None:
    """A currency is not paired with itself."""
    currency = Currency(
        code="USD", name="US dollar", first_day=DAY, last_day=DAY, rate=1.1, change=None
    )
    history = History(currency="USD", from_=DAY, to=DAY, days=[DAY], rates=[1.1])

    view = currency_view(currency, history, EN)

    assert "USD" not in view.partners
    assert "EUR" in view.partners


def test_a_pair_links_to_neither_of_its_sides() -> None:
    """Related pairs replace the quote by a third currency."""
    pair = Pair(
        base="USD", quote="JPY", base_name="US dollar", quote_name="yen", days=[DAY], rates=[150.0]
    )

    assert not {"USD", "JPY"} & set(pair_view(pair, EN).partners)


def test_currencies_are_split_by_whether_they_are_still_quoted() -> None:
    """Those with a rate on the latest day of all come first, the others apart."""

    def summary(code: str, last: date) -> CurrencySummary:
        return CurrencySummary(
            code=code, name=code, first_day=date(1999, 1, 4), last_day=last, rate=1.0
        )

    view = currencies_view([summary("CYP", date(2007, 12, 31)), summary("USD", DAY)])

    assert [row.code for row in view.current] == ["USD"]
    assert [row.code for row in view.former] == ["CYP"]
    assert view.day == DAY


def test_a_year_says_where_it_ended() -> None:
    """Change is last against first; the last rate's place is between low (0) and high (100)."""
    row = YearCurrency(code="A", name="A", first=2.0, last=3.0, min=1.0, max=5.0, mean=2.5)
    pegged = YearCurrency(code="B", name="B", first=2.0, last=2.0, min=2.0, max=2.0, mean=2.0)
    year = Year(year=2008, previous=2007, next=2009, days=256, currencies=[row, pegged])

    rows = year_view(year).rows

    assert (rows[0].change, rows[0].trend) == ("+50.00%", "up")
    assert rows[0].span is not None
    assert rows[0].span.at == 50
    assert rows[1].span is None


def test_years_are_grouped_by_decade() -> None:
    """The newest decade and year come first."""
    view = years_view([1999, 2000, 2001, 2010])

    assert view.decades == ((2010,), (2001, 2000), (1999,))
    assert view.count == 4

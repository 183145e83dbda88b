from datetime import date
from typing import Any

import pytest

Reader = Any
EcbFile = dict[date, dict[str, str]]


def _columns(ecb: EcbFile, code: str) -> tuple[list[str], list[float]]:
    days = sorted(day for day, rates in ecb.items() if code in rates)
    return [day.isoformat() for day in days], [float(ecb[day][code]) for day in days]


async def test_currencies_lists_all_with_their_latest_rate(reader: Reader, ecb: EcbFile) -> None:
    """Each of the 41 currencies comes with its name, its span and its latest rate."""
    answer = await reader.get("/currencies")
    found = answer.json()["currencies"]
    codes = sorted({code for rates in ecb.values() for code in rates})
    assert [currency["code"] for currency in found] == codes
    assert len(codes) == 41
    for currency in found:
        days, rates = _columns(ecb, currency["code"])
        assert currency["name"]
        assert (currency["first_day"], currency["last_day"]) == (days[0], days[-1])
        assert currency["rate"] == rates[-1]
    assert (answer.status, answer.tags) == (200, ["currencies"])
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["server-timing"].startswith("app;dur=")


@pytest.mark.parametrize("code", ["USD", "CYP", "ISK", "TRL"])
async def test_a_currency_shows_its_change(reader: Reader, ecb: EcbFile, code: str) -> None:
    """The change is that from the day before on which the currency had a rate, historic or not."""
    answer = await reader.get(f"/currencies/{code}")
    days, rates = _columns(ecb, code)
    assert answer.json() == {
        "code": code,
        "name": answer.json()["name"],
        "first_day": days[0],
        "last_day": days[-1],
        "rate": rates[-1],
        "change": pytest.approx(rates[-1] / rates[-2] - 1, abs=1e-15),
    }
    assert answer.tags == [f"currency:{code.lower()}"]


async def test_codes_are_accepted_in_lower_case(reader: Reader) -> None:
    """A path in lower case gives the same answer, with the canonical code in it."""
    lower, upper = await reader.get("/currencies/usd"), await reader.get("/currencies/USD")
    assert lower.body == upper.body
    assert lower.json()["code"] == "USD"


@pytest.mark.parametrize("code", ["USD", "BGN", "RON"])
async def test_history_is_exact(reader: Reader, ecb: EcbFile, code: str) -> None:
    """The whole history equals the ECB's file, value by value, oldest day first."""
    answer = await reader.get(f"/currencies/{code}/rates")
    days, rates = _columns(ecb, code)
    assert answer.json() == {
        "currency": code,
        "from": days[0],
        "to": days[-1],
        "days": days,
        "rates": rates,
    }
    assert answer.tags == [f"currency:{code.lower()}"]


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("?from=2026-10-20&to=2026-10-26", "2026-10-20", "2026-10-26"),
        ("?from=2026-10-24", "2026-10-26", "2026-10-30"),
        ("?to=1999-01-05", "1999-01-04", "1999-01-05"),
        ("?from=1990-01-01&to=1999-01-04", "1999-01-04", "1999-01-04"),
    ],
)
async def test_history_ranges_are_inclusive(
    reader: Reader, query: str, first: str, last: str
) -> None:
    """Both ends belong to a range, either may be left out."""
    days = (await reader.get(f"/currencies/USD/rates{query}")).json()["days"]
    assert (days[0], days[-1]) == (first, last)


async def test_history_without_days_is_empty(reader: Reader) -> None:
    """A range in which a known currency had no rates is an empty answer, not an error."""
    answer = await reader.get("/currencies/CYP/rates?from=2020-01-01&to=2020-12-31")
    assert answer.status == 200
    assert answer.json() == {
        "currency": "CYP",
        "from": "2020-01-01",
        "to": "2020-12-31",
        "days": [],
        "rates": [],
    }


async def test_pair_is_the_exact_cross_rate(reader: Reader, ecb: EcbFile) -> None:
    """A pair has the days that both currencies have, and one quotient for each."""
    answer = await reader.get("/pairs/USD/BRL")
    days = sorted(day for day, rates in ecb.items() if {"USD", "BRL"} <= rates.keys())
    assert answer.json() == {
        "base": "USD",
        "quote": "BRL",
        "base_name": "US Dollar",
        "quote_name": "Brazilian Real",
        "days": [day.isoformat() for day in days],
        "rates": [float(ecb[day]["BRL"]) / float(ecb[day]["USD"]) for day in days],
    }
    assert answer.tags == ["currency:usd", "currency:brl"]


async def test_pair_takes_the_euro_on_either_side(reader: Reader, ecb: EcbFile) -> None:
    """From the euro a pair is the rate itself, to the euro its inverse."""
    days, rates = _columns(ecb, "JPY")
    from_euro = (await reader.get("/pairs/EUR/JPY")).json()
    to_euro = (await reader.get("/pairs/jpy/eur")).json()
    assert (from_euro["days"], from_euro["rates"]) == (days, rates)
    assert (to_euro["days"], to_euro["rates"]) == (days, [1 / rate for rate in rates])
    assert (from_euro["base_name"], to_euro["quote_name"]) == ("Euro", "Euro")


async def test_pair_honours_a_range(reader: Reader) -> None:
    """A range bounds a pair as it bounds a history."""
    pair = (await reader.get("/pairs/GBP/USD?from=2026-10-28&to=2026-10-29")).json()
    assert pair["days"] == ["2026-10-28", "2026-10-29"]


@pytest.mark.parametrize("day", ["1999-01-04", "2008-01-02", "2026-10-26"])
async def test_a_day_is_exact(reader: Reader, ecb: EcbFile, day: str) -> None:
    """A day has every rate of the file, its neighbours, and changes from the day before."""
    answer = await reader.get(f"/days/{day}")
    days = sorted(ecb)
    position = days.index(date.fromisoformat(day))
    previous = days[position - 1] if position else None
    before = ecb[previous] if previous else {}
    rates = ecb[days[position]]
    expected = answer.json()
    assert expected["previous"] == (previous.isoformat() if previous else None)
    assert expected["next"] == days[position + 1].isoformat()
    assert [rate["code"] for rate in expected["rates"]] == sorted(rates)
    for rate in expected["rates"]:
        code = rate["code"]
        assert rate["rate"] == float(rates[code])
        if code in before:
            assert rate["change"] == float(rates[code]) / float(before[code]) - 1
        else:
            assert rate["change"] is None
    near = [f"day:{previous}"] if previous else []
    assert answer.tags == [f"day:{day}", *near]


async def test_latest_is_the_newest_day(reader: Reader) -> None:
    """The latest day answers as the day itself does, with one more tag."""
    latest, day = await reader.get("/days/latest"), await reader.get("/days/2026-10-30")
    assert latest.body == day.body
    assert set(latest.tags) == {*day.tags, "latest"}
    assert day.json()["next"] is None


async def test_years_are_those_with_rates(reader: Reader) -> None:
    """The list has each year from 1999 to the newest."""
    answer = await reader.get("/years")
    assert answer.json() == {"years": list(range(1999, 2027))}
    assert answer.tags == ["years"]


@pytest.mark.parametrize(
    ("year", "previous", "following"), [(1999, None, 2000), (2026, 2025, None)]
)
async def test_a_year_sums_up(
    reader: Reader, ecb: EcbFile, year: int, previous: int | None, following: int | None
) -> None:
    """A year has first, last, lowest, highest and mean rate of each currency of the file."""
    answer = await reader.get(f"/years/{year}")
    found = answer.json()
    days = sorted(day for day in ecb if day.year == year)
    assert (found["previous"], found["next"]) == (previous, following)
    assert found["days"] == len(days)
    assert [entry["code"] for entry in found["currencies"]] == sorted(
        {code for day in days for code in ecb[day]}
    )
    for entry in found["currencies"]:
        rates = [float(ecb[day][entry["code"]]) for day in days if entry["code"] in ecb[day]]
        assert (entry["first"], entry["last"]) == (rates[0], rates[-1])
        assert (entry["min"], entry["max"]) == (min(rates), max(rates))
        assert entry["mean"] == pytest.approx(sum(rates) / len(rates), rel=1e-12)
    assert answer.tags == [f"year:{year}"]


async def test_openapi_is_served(reader: Reader) -> None:
    """The schema names the API, the body of a write, and the problems with an example."""
    schema = (await reader.send("GET", "/schema")).json()
    assert (schema["info"]["title"], schema["info"]["version"]) == ("perfcheck api", "1.0.0")
    assert len(schema["paths"]) == 11
    write = schema["paths"]["/api/v1/days/{date}"]["put"]
    assert write["requestBody"]["content"]["application/json"]["schema"]["required"] == ["rates"]
    examples = write["responses"]["422"]["content"]["application/problem+json"]["examples"]
    assert "rates.XYZ" in str(examples)


async def test_health_needs_postgres_and_only_warns_of_nats(reader: Reader) -> None:
    """Without NATS the service stays ready: writes commit, their events wait."""
    answer = await reader.send("GET", "/health")
    assert (answer.status, answer.json()["status"]) == (200, "warn")
    assert answer.json()["checks"]["postgres"]["status"] == "pass"
    assert answer.json()["checks"]["nats"]["required"] is False

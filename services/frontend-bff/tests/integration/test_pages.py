"""Pages of the running service, made of what the real api answers."""

import json
from typing import Any

import pytest
from asgi_isr.testing import eventually_sync

PAGES = [
    "/",
    "/currencies",
    "/currencies/USD",
    "/pairs/USD/JPY",
    "/pairs/EUR/IDR",
    "/days/2026-10-30",
    "/years",
    "/years/2025",
]
READS = {
    "/": ["/days/latest"],
    "/currencies": ["/currencies"],
    "/currencies/USD": ["/currencies/USD", "/currencies/USD/rates"],
    "/pairs/USD/JPY": ["/pairs/USD/JPY"],
    "/pairs/EUR/IDR": ["/pairs/EUR/IDR"],
    "/days/2026-10-30": ["/days/2026-10-30"],
    "/years": ["/years"],
    "/years/2025": ["/years/2025"],
}


def tags(answer: Any) -> set[str]:
    """Return the tags that a response names."""
    return {tag.strip() for tag in answer.headers["cache-tag"].split(",")}


def exact(value: float) -> str:
    """Return how a page shows a rate to programs."""
    return f'<data value="{value}">'


def test_the_board_shows_the_latest_day(bff: Any, api: Any) -> None:
    """Every rate of the latest day is on the first page, and nothing else is a row."""
    day = api.get("/api/v1/days/latest").json()

    page = bff.get("/").text

    assert "Friday, 30 October 2026" in page
    assert all(exact(rate["rate"]) in page for rate in day["rates"])
    assert page.count('<th scope="row">') == len(day["rates"]) == 3


def test_a_currency_page_shows_its_history(bff: Any, api: Any) -> None:
    """Name, chart, the thirty newest days and a link to each of them."""
    history = api.get("/api/v1/currencies/USD/rates").json()

    page = bff.get("/currencies/USD").text

    assert "<h1>" in page
    assert all(exact(rate) in page for rate in history["rates"][-30:])
    assert all(f'href="/days/{day}"' in page for day in history["days"][-30:])
    assert '<path class="line" d="M0 ' in page
    assert 'href="/pairs/USD/JPY"' in page


def test_a_pair_page_shows_the_cross_rate(bff: Any, api: Any) -> None:
    """The rate is the quote's per unit of the base, and the page links to its swap."""
    pair = api.get("/api/v1/pairs/USD/JPY").json()

    page = bff.get("/pairs/USD/JPY").text

    assert exact(pair["rates"][-1]) in page
    assert f"{pair['base_name']} in {pair['quote_name']}" in page
    assert 'href="/pairs/JPY/USD"' in page


def test_the_euro_may_be_either_side_of_a_pair(bff: Any) -> None:
    """The base of all rates is a currency like others here."""
    assert bff.get("/pairs/EUR/IDR").status == 200
    assert bff.get("/pairs/IDR/EUR").status == 200


def test_a_day_page_links_to_its_neighbours(bff: Any) -> None:
    """Neighbours are days with rates, across the weekend."""
    page = bff.get("/days/2026-10-26").text

    assert 'rel="prev" href="/days/2026-10-23"' in page
    assert 'rel="next" href="/days/2026-10-27"' in page


def test_a_year_page_sums_up(bff: Any, api: Any) -> None:
    """Each currency that had rates in the year is a row; former ones link to what they were."""
    year = api.get("/api/v1/years/2024").json()

    page = bff.get("/years/2024").text

    assert {currency["code"] for currency in year["currencies"]} == {"HRK", "IDR", "JPY", "USD"}
    assert all(exact(currency["last"]) in page for currency in year["currencies"])
    assert 'rel="next" href="/years/2025"' in page
    assert 'rel="prev"' not in page


def test_former_currencies_are_listed_apart(bff: Any) -> None:
    """A currency that ended has its last day said."""
    page = bff.get("/currencies").text

    assert page.index("No longer quoted") < page.index('href="/currencies/HRK"')
    assert "31 Dec 2024" in page


def test_years_are_listed(bff: Any) -> None:
    """Every year with rates has a link."""
    page = bff.get("/years").text

    assert all(f'href="/years/{year}"' in page for year in (2024, 2025, 2026))


@pytest.mark.parametrize("path", PAGES)
def test_tags_come_from_the_api(bff: Any, api: Any, path: str) -> None:
    """A page carries exactly the tags of the replies it was made of."""
    named = {tag for read in READS[path] for tag in tags(api.get(f"/api/v1{read}"))}

    assert tags(bff.get(path)) == named


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_rendered_once(bff: Any, path: str) -> None:
    """The second request is a hit, with the same page and the same security."""
    first = bff.get(path)
    second = bff.get(path)

    assert "hit" in second.headers["cache-status"]
    assert second.body == first.body
    assert second.headers["content-type"] == "text/html; charset=utf-8"
    assert second.headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert "script-src 'self'" in second.headers["content-security-policy"]
    assert second.headers["x-content-type-options"] == "nosniff"
    assert "cdn-cache-control" not in second.headers


@pytest.mark.parametrize("path", PAGES)
def test_ssr_pages_are_rendered_each_time(bff: Any, path: str) -> None:
    """Under /ssr nothing is stored, and each answer says where its time went."""
    ssr = "/ssr" + path.rstrip("/")
    bff.get(ssr)
    answer = bff.get(ssr)

    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "cache-tag" not in answer.headers
    assert "hit" not in answer.headers.get("cache-status", "")
    names = [part.partition(";")[0] for part in answer.headers["server-timing"].split(", ")]
    assert names == ["api", "hop", "render"]


def test_ssr_pages_keep_readers_in_their_mode(bff: Any) -> None:
    """Links of a page under /ssr lead to pages under /ssr."""
    page = bff.get("/ssr/currencies/USD").text

    assert 'href="/ssr/pairs/USD/JPY"' in page
    assert 'href="/pairs/USD/JPY"' not in page


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/currencies/usd", "/currencies/USD"),
        ("/pairs/usd/Jpy", "/pairs/USD/JPY"),
        ("/ssr/pairs/USD/jpy", "/ssr/pairs/USD/JPY"),
    ],
)
def test_other_spellings_redirect(bff: Any, path: str, location: str) -> None:
    """There is one address for each page; others lead there for good."""
    answer = bff.get(path)

    assert answer.status == 308
    assert answer.headers["location"] == location


@pytest.mark.parametrize(
    "path", ["/", "/currencies/USD", "/ssr/years", "/perf", "/days/2026-10-31"]
)
def test_head_has_the_headers_of_get(bff: Any, path: str) -> None:
    """HEAD answers as GET does, without a body."""
    get, head = bff.get(path), bff.call("HEAD", path)

    assert head.status == get.status
    assert head.body == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["cache-control"] == get.headers["cache-control"]


def test_a_query_changes_nothing(bff: Any) -> None:
    """No page depends on a query, so none makes another page."""
    plain = bff.get("/years/2026")
    queried = bff.get("/years/2026?utm_source=x")

    assert queried.body == plain.body
    assert "hit" in queried.headers["cache-status"]


def test_assets_are_kept_for_ever(bff: Any) -> None:
    """The address in the page leads to the file, which may be kept as its name holds its hash."""
    page = bff.get("/").text
    address = page.partition('<link rel="stylesheet" href="')[2].partition('"')[0]

    answer = bff.get(address)

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    head = bff.call("HEAD", address)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.body))


def test_an_asset_of_another_release_is_not_kept(bff: Any) -> None:
    """A page cached by an earlier release still gets a style, but under that name for once."""
    answer = bff.get("/assets/app.000000000000.css")

    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/favicon.ico", "/robots.txt"])
def test_what_browsers_and_robots_ask_for_is_there(bff: Any, path: str) -> None:
    """No request that every visitor makes ends in an error."""
    assert bff.get(path).status == 200
    assert bff.call("HEAD", path).status == 200


def test_a_day_that_is_written_appears(bff: Any, api: Any, writer: dict[str, str]) -> None:
    """A page follows its data: a rate changes, a day comes into being where a 404 was cached."""
    assert bff.get("/days/2026-10-25").status == 404
    assert bff.get("/days/2026-10-25").headers["cache-status"].startswith("asgi-isr; hit")
    body = json.dumps({"rates": {"USD": 1.2345}}).encode()

    written = api.call("PUT", "/api/v1/days/2026-10-25", headers=writer, body=body)

    assert written.status == 201
    eventually_sync(lambda: exact(1.2345) in bff.get("/days/2026-10-25").text, timeout_s=10)
    eventually_sync(lambda: exact(1.2345) in bff.get("/currencies/USD").text, timeout_s=10)
    removed = api.call(
        "PATCH", "/api/v1/days/2026-10-25", headers=writer, body=b'{"rates": {"USD": null}}'
    )
    assert removed.status == 200
    eventually_sync(lambda: bff.get("/days/2026-10-25").status == 404, timeout_s=10)

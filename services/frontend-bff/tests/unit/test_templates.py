"""Templates: names, escaping, the texts they use, nothing inline."""

import re
from datetime import date
from pathlib import Path

import perfcheck_bff
import pytest
from minijinja import Environment, TemplateError
from perfcheck_bff.dashboard import routes as dashboard
from perfcheck_bff.site import assets, templating, texts
from perfcheck_bff.site.pages import Crumb, Language, PageModel, Pages
from perfcheck_bff.site.variants import Site, site_of, sites
from perfcheck_bff.site.views.currency import pair_view
from perfcheck_bff.site.views.rates import board_view
from perfcheck_contracts import Day, DayRate, Pair

FOLDERS = (templating.TEMPLATES, dashboard.TEMPLATES)
ALL = sorted(path for folder in FOLDERS for path in folder.rglob("*"))
SOURCES = Path(perfcheck_bff.__file__).parent
HOSTILE = '<script>alert("x")</script>'
ISR, SSR = sites()


@pytest.fixture
def environment() -> Environment:
    """Return the real environment."""
    files = assets.load_assets((assets.STATIC, dashboard.STATIC))
    return templating.environment(texts.load("en"), files, folders=FOLDERS)


@pytest.fixture
def pages(environment: Environment) -> Pages:
    """Return the real renderer."""
    return Pages({"en": Language(texts.load("en"), environment)}, clock=lambda: 0.0)


def board(name: str) -> PageModel:
    """Make a board of one currency with this name."""
    rate = DayRate(code="USD", name=name, rate=1.1, change=0.01)
    day = Day(day=date(2026, 10, 30), previous=date(2026, 10, 29), next=None, rates=[rate])
    return PageModel(template="board.html", view=board_view(day), section="home")


def pair() -> PageModel:
    """Make a pair's page of two days."""
    days = [date(2025, 10, 1), date(2026, 10, 30)]
    found = Pair(
        base="USD",
        quote="JPY",
        base_name="US dollar",
        quote_name="Japanese yen",
        days=days,
        rates=[150.0, 157.25],
    )
    view = pair_view(found, texts.load("en"))
    crumbs = (Crumb(label="x"),)
    return PageModel(template="pair.html", view=view, section="currencies", crumbs=crumbs)


def html(pages: Pages, page: PageModel, site: Site = ISR) -> str:
    """Render a page."""
    return pages.html(site, "/", page).decode()


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_templates_are_named_html(path: Path) -> None:
    """Names decide: minijinja escapes by suffix, so any other name would not be escaped."""
    assert path.suffix == ".html"


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_templates_mark_nothing_of_the_data_as_safe(path: Path) -> None:
    """`safe` is for the one literal of the navigation; values come escaped."""
    marked = re.findall(r"\{\{[^}]*\|\s*safe", path.read_text())

    assert marked in ([], ["{{ item[1]|safe"])


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_templates_have_nothing_inline(path: Path) -> None:
    """The policy forbids inline script and style, so none may be written."""
    source = path.read_text()

    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", source)
    assert not re.search(r"<script(?![^>]*\ssrc=)", source)


def test_what_the_data_says_is_escaped(pages: Pages) -> None:
    """A name from the api cannot become markup."""
    shown = html(pages, board(HOSTILE))

    assert HOSTILE not in shown
    assert "&lt;script&gt;" in shown


def test_an_undefined_variable_is_an_error(environment: Environment) -> None:
    """A misspelt field never shows as an empty place."""
    with pytest.raises(TemplateError):
        environment.render_str("{{ nothing }}", "x.html")


def test_texts_match_the_templates_and_the_code() -> None:
    """Every sentence that is used exists, and every one that exists is used."""
    known = texts.load("en").keys()
    sources = [*ALL, *SOURCES.rglob("*.py")]
    written = "\n".join(path.read_text() for path in sources)
    used = set(re.findall(r"[\"']([a-z]+\.[a-z_0-9]+)[\"']", written))
    used |= {f"site.{name}" for name in ("home", "currencies", "years")}
    used |= {f"error.heading_{status}" for status in (400, 404, 405, 500, 502, 503, 504)}

    assert known - used == set()
    in_templates = {
        key
        for path in ALL
        for key in re.findall(r"\bt\([\"']([a-z]+\.[a-z_0-9]+)[\"']", path.read_text())
    }
    assert in_templates - known == set()


def test_every_language_has_the_same_texts() -> None:
    """A further language has every sentence, with the same placeholders."""
    english = texts.load("en")
    for language in texts.LANGUAGES:
        assert texts.load(language).keys() == english.keys()


def test_a_missing_placeholder_names_the_sentence() -> None:
    """The error says which text lacks what."""
    with pytest.raises(KeyError, match=r"year\.title needs year"):
        texts.load("en")("year.title")


def test_days_are_written_out() -> None:
    """Dates are formatted by the catalogue, not by the machine's locale."""
    english = texts.load("en")
    day = date(2026, 10, 30)

    assert english.long_day(day) == "Friday, 30 October 2026"
    assert english.short_day(day) == "30 Oct 2026"
    assert english.month(day) == "Oct 2026"


def test_both_modes_show_the_same_but_for_links(pages: Pages) -> None:
    """One content: only the prefix of links, the mode's own line and the robots line differ."""
    isr, ssr = html(pages, board("US dollar")), html(pages, board("US dollar"), SSR)

    def content(page: str) -> str:
        return page[page.index("<main") : page.index("</main>")]

    assert content(ssr).replace('"/ssr/', '"/') == content(isr)
    assert "noindex" in ssr
    assert "noindex" not in isr


def test_a_page_says_what_it_is(pages: Pages) -> None:
    """Language, title, description, one heading, a way past the navigation, where one is."""
    shown = html(pages, pair())

    assert '<html lang="en">' in shown
    title = "<title>USD/JPY, US dollar in Japanese yen · ECS Performance Check</title>"
    assert title in shown.replace("&#x2f;", "/")
    assert '<meta name="description" content="One USD cost 157.250 JPY' in shown
    assert shown.count("<h1") == 1
    assert '<a class="skip" href="#content">' in shown
    assert 'aria-label="Breadcrumbs"' in shown


def test_a_chart_can_be_read_without_seeing_it(pages: Pages) -> None:
    """The chart has a title, a description, and a table that says the same."""
    shown = html(pages, pair())

    assert 'role="img" aria-labelledby="chart-title chart-description"' in shown
    assert '<title id="chart-title">USD in JPY, 1 Oct 2025 to 30 Oct 2026</title>' in shown
    assert "ends at 157.250" in shown
    assert "Year by year" in shown


def test_tables_name_their_columns_and_rows(pages: Pages) -> None:
    """Header cells have a scope and each table a caption."""
    shown = html(pages, pair())

    assert shown.count("<table>") == shown.count("<caption")
    assert "<th>" not in shown


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/", "isr"),
        ("/currencies/USD", "isr"),
        ("/ssr", "ssr"),
        ("/ssr/", "ssr"),
        ("/ssr/nowhere", "ssr"),
        ("/ssrnowhere", "isr"),
    ],
)
def test_the_path_says_the_mode(path: str, mode: str) -> None:
    """The prefix of a path decides, as a whole segment."""
    assert site_of(path).mode == mode

"""The documentation is true: its examples run, its tables are those of the code."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from asgi_isr import CacheMiddleware, CacheSettings
from asgi_isr.http.policy import Use
from asgi_isr.otel import INSTRUMENTS
from asgi_isr.testing import ready, request

LIBRARY = Path(__file__).parents[2]
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```$", (LIBRARY / "README.md").read_text(), re.MULTILINE | re.DOTALL
)
APPS = [example for example in EXAMPLES if "\napp = " in example]
TESTS = [example for example in EXAMPLES if "\nasync def test_" in example]
FLEET = [example for example in EXAMPLES if "NatsLog(" in example]  # run in tests/integration


def run(example: str, directory: Path) -> ModuleType:
    """Import an example, written to a file as a user would."""
    path = directory / "example.py"
    path.write_text(example)
    spec = importlib.util.spec_from_file_location("example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["example"] = module  # where Litestar looks up the types of a handler
    spec.loader.exec_module(module)
    return module


def rows(page: str) -> list[list[str]]:
    """Return the cells of the one table of a page in docs, without its head."""
    lines = [line for line in (LIBRARY / "docs" / page).read_text().splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_example_is_run() -> None:
    """No example of the README stands there untried."""
    assert (len(APPS), len(TESTS), len(FLEET)) == (3, 1, 1)
    assert len(APPS) + len(TESTS) + len(FLEET) == len(EXAMPLES)


@pytest.mark.parametrize("example", APPS, ids=["litestar", "starlette", "asgi"])
async def test_app_of_an_example_is_cached(example: str, tmp_path: Path) -> None:
    """Its page, asked for twice, is a hit; after the event of its tag it is rendered again."""
    app = run(example, tmp_path).app
    assert isinstance(app, CacheMiddleware)
    async with app.cache:
        await ready(app.cache)
        first = await request(app, "/products/42")
        assert (first.status, "stored" in first.cache_status) == (200, True)
        assert b"42" in first.body
        second = await request(app, "/products/42")
        assert second.cache_status.startswith("asgi-isr; hit")
        assert second.body == first.body
        await app.cache.invalidate(tags=("product:42",))
        assert "stored" in (await request(app, "/products/42")).cache_status


@pytest.mark.parametrize("example", TESTS, ids=["page"])
async def test_test_of_an_example_passes(example: str, tmp_path: Path) -> None:
    """A user's test, written with the kit, passes as it stands."""
    module = run(example, tmp_path)
    for name in vars(module):
        if name.startswith("test_"):
            await getattr(module, name)()


def test_settings_table_is_complete() -> None:
    """Every setting is in docs/settings.md, in the order and with the default of the code."""
    documented = {cells[0].strip("`"): cells[1].strip("`") for cells in rows("settings.md")}
    fields = {field.name: repr(field.default) for field in msgspec.structs.fields(CacheSettings)}
    missing, gone = fields.keys() - documented.keys(), documented.keys() - fields.keys()
    assert not missing, f"docs/settings.md lacks {sorted(missing)}: add a row for each"
    assert not gone, f"docs/settings.md has {sorted(gone)}, which CacheSettings has not"
    assert documented == fields
    assert list(documented) == list(fields), "docs/settings.md is not in the order of CacheSettings"


def test_settings_have_the_units_of_their_names() -> None:
    """`_s` is seconds, `_bytes_max` bytes; each row says what the setting means."""
    for name, _, unit, meaning in rows("settings.md"):
        suffix = name.strip("`").rsplit("_", 1)[-1]
        assert (unit == "s") is (suffix == "s"), name
        assert (unit == "bytes") is name.strip("`").endswith("_bytes_max"), name
        assert len(meaning) > 10, name


def test_metrics_table_is_that_of_the_code() -> None:
    """docs/metrics.md has the names, kinds, units and descriptions that go out."""
    assert rows("metrics.md") == [
        [f"`{name}`", found.kind.replace("_", " "), f"`{found.unit}`", found.description]
        for name, found in INSTRUMENTS.items()
    ]


def test_states_are_those_of_the_policy() -> None:
    """docs/entry-states.md names each use that the policy makes of a page."""
    page = (LIBRARY / "docs" / "entry-states.md").read_text()
    missing = [use.value for use in Use if use.value not in page]
    assert not missing, f"docs/entry-states.md does not say what {missing} is"


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(f"docs/{p.name}" for p in (LIBRARY / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    """A file that a page links to is there."""
    here = LIBRARY / page
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", here.read_text())
    missing = [target for target in targets if not (here.parent / target).exists()]
    assert not missing

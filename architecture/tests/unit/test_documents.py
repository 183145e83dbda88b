"""Documents tell the truth of the tree: files, symbols, links, licence."""

import re
import tomllib
from pathlib import Path

import pytest

from architecture.documents import (
    dead_links,
    file_table,
    map_rows,
    named_files,
    problem_with,
    unnamed,
)
from architecture.tree import INIT, Package, packages

ROOT = Path(__file__).parents[3]
PACKAGES = {package.name: package for package in packages(ROOT)}
PROJECTS = [ROOT / "pyproject.toml", *(p.member / "pyproject.toml" for p in PACKAGES.values())]
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    and not path.name.endswith(".template.md")  # its links count where it is written to
)


def name_of(path: Path) -> str:
    """Name a file in the report."""
    return path.relative_to(ROOT).as_posix()


def source_of(package: Package) -> Path:
    """Return the folder of the package's modules."""
    return package.member / "src" / package.name


@pytest.mark.parametrize("package", PACKAGES.values(), ids=list(PACKAGES))
def test_readme_names_the_files_that_are_there(package: Package) -> None:
    """The table of what lives where names what is there, and leaves out no module or room."""
    cells = file_table((package.member / "README.md").read_text())
    named, missing = named_files(cells, source_of(package), package.member)
    assert missing == [], f"{name_of(package.member)}/README.md names what is not there"
    left_out = unnamed(source_of(package), named)
    assert left_out == [], f"{name_of(package.member)}/README.md does not name these"


@pytest.mark.parametrize("folder", ["e2e", "attack"])
def test_tests_of_the_system_are_all_named(folder: str) -> None:
    """The README names each file."""
    cells = " ".join(file_table((ROOT / folder / "README.md").read_text()))
    files = (path.name for path in (ROOT / folder).glob("*.py") if path.name != INIT)
    assert [name for name in files if name not in cells] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document leads to a file or a folder."""
    assert dead_links(document) == []


MAP = map_rows((ROOT / "CONTRIBUTING.md").read_text())
GLOSSARY = map_rows((ROOT / "docs" / "glossary.md").read_text())


ATTACKS = (ROOT / "docs" / "security.md").read_text()
TRIED_BY = sorted(set(re.findall(r"`([^`]+::test_[^`]+)`", ATTACKS)))


def test_map_is_worth_its_name() -> None:
    """It has rows for what people come to change."""
    assert len(MAP) >= 10
    assert len(GLOSSARY) >= 20


@pytest.mark.parametrize(("task", "target"), MAP + GLOSSARY)
def test_map_leads_to_what_it_names(task: str, target: str) -> None:
    """The file exists, and the symbol is defined in it."""
    assert problem_with(target, ROOT) == "", task


@pytest.mark.parametrize("target", TRIED_BY)
def test_attack_leads_to_the_test_that_tries_it(target: str) -> None:
    """The file exists, and the test is defined in it."""
    assert problem_with(target, ROOT) == ""


def test_every_attack_names_a_test() -> None:
    """A row that says what an attack results in says who tried it."""
    assert len(TRIED_BY) >= 20
    heads = ("| attack |", "| credential |", "|---")
    rows = [row for row in ATTACKS.splitlines() if row.startswith("|")]
    tables = [row for row in rows if not row.startswith(heads) and row.count("|") == 4]
    rights = ATTACKS[ATTACKS.index("| credential |") :].partition("\n\n")[0].splitlines()
    assert not [row for row in tables if row not in rights and "::test_" not in row]


@pytest.mark.parametrize("project", PROJECTS, ids=name_of)
def test_licence_is_named_in_each_project(project: Path) -> None:
    """Every member says Apache-2.0 as an SPDX expression."""
    assert tomllib.loads(project.read_text())["project"]["license"] == "Apache-2.0"


def test_licence_stands_at_the_root() -> None:
    """LICENSE names the licence and whose it is."""
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0" in text
    assert "Copyright 2026 The ECS Performance Check authors" in text


CLIENTS = {"aiohttp", "httptools", "httpx", "pyreqwest"}


def test_adr_names_the_http_clients_that_members_declare() -> None:
    """ADR 6 says which client each member uses; no member declares another one."""
    declared = {
        package.name: {
            name
            for name in CLIENTS
            if any(line.startswith(name) for line in _dependencies(package.member))
        }
        for package in PACKAGES.values()
    }
    assert {name: clients for name, clients in declared.items() if clients} == {
        "asgi_isr": {"httptools"},
        "perfcheck": {"aiohttp"},
        "perfcheck_chassis": {"pyreqwest"},
        "perfcheck_revalidator": {"pyreqwest"},
    }
    (adr,) = (ROOT / "docs" / "adr").glob("0006-*.md")
    last = adr.read_text().rpartition("## ")[2]
    for words in ("the services `pyreqwest`", "The command, ", "uses `aiohttp`", "purger of the"):
        assert words in last


def _dependencies(member: Path) -> list[str]:
    project = tomllib.loads((member / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {})
    return [
        *project.get("dependencies", []),
        *(line for lines in extras.values() for line in lines),
    ]


GLOSSARY_WORDS = re.compile(
    r"\b(fences?|leases?|live set|outbox|relay|receipts?|dead letters?|marks?)\b", re.IGNORECASE
)
READMES = [path for path in DOCUMENTS if path.name == "README.md"]


@pytest.mark.parametrize("readme", READMES, ids=name_of)
def test_readme_that_uses_our_words_links_to_the_glossary(readme: Path) -> None:
    """Who meets a word of ours in a README finds what it means."""
    text = readme.read_text()
    if GLOSSARY_WORDS.search(text):
        assert "docs/glossary.md)" in text


# -- the check itself -----------------------------------------------------------------------------


def test_file_table_is_resolved(tmp_path: Path) -> None:
    """Names with and without suffix, neighbours, folders, patterns; what is gone is missing."""
    for name in (
        "__init__.py",
        "app.py",
        "old.py",
        "rates/__init__.py",
        "rates/http.py",
        "rates/sql.py",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    table = (
        "| file | holds |\n|---|---|\n| `app`, `gone.py` | |\n| `rates/http.py` → `sql.py` | |\n"
    )
    cells = file_table("| other | |\n|---|---|\n| `x` | |\n\n" + table)
    named, missing = named_files(cells, tmp_path, tmp_path)
    assert {path.name for path in named} == {"app.py", "http.py", "sql.py"}
    assert missing == ["gone.py"]
    assert unnamed(tmp_path, named) == ["old.py"]
    assert unnamed(tmp_path, named_files(["`*.py`", "`rates/`"], tmp_path, tmp_path)[0]) == []


def test_symbols_are_resolved(tmp_path: Path) -> None:
    """Functions, classes, their fields and methods, constants, keys of TOML; nothing else."""
    (tmp_path / "a.py").write_text(
        "import os\nLIMIT = 1\nclass C:\n    x: int = 1\n    def m(self): ...\nasync def f(): ...\n"
    )
    (tmp_path / "t.toml").write_text("[error]\nheading = 'x'\n")
    for symbol in ("LIMIT", "C", "C.x", "C.m", "f"):
        assert problem_with(f"a.py::{symbol}", tmp_path) == ""
    assert problem_with("t.toml::error.heading", tmp_path) == ""
    assert problem_with("a.py::os", tmp_path) == "a.py defines no os"
    assert problem_with("a.py::m", tmp_path) == "a.py defines no m"
    assert problem_with("t.toml::error.body", tmp_path) == "t.toml defines no error.body"
    assert problem_with("b.py::f", tmp_path) == "b.py does not exist"


def test_dead_links_are_found(tmp_path: Path) -> None:
    """Links to the web and within the page are left alone."""
    page = tmp_path / "page.md"
    page.write_text("[a](page.md#x) [b](gone.md) [c](https://example.org) [d](#here)")
    assert dead_links(page) == ["gone.md"]

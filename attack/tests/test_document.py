"""What `docs/security.md` says of the attacks."""

import ast
from pathlib import Path

from attack.document import table

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/security.md").read_text(encoding="utf-8")


def test_rights_stand_in_the_document_as_they_are_tried() -> None:
    """The table of rights is that of `rights.py`, line by line."""
    assert "\n\n" + "\n".join(table()) + "\n\n" in DOCUMENT


def test_every_attack_stands_in_the_document() -> None:
    """No test of this folder is missing in the tables."""
    for file in Path(__file__).parent.glob("test_*.py"):
        if file.name == Path(__file__).name:
            continue
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"attack/tests/{file.name}::{statement.name}"
                assert not statement.name.startswith("test_") or f"`{name}`" in DOCUMENT, name

"""The publishers of `docs/events.md`, each as it stands there: their events reach every task."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = Path(__file__).parents[1] / "docs" / "events.md"
EXAMPLE = re.compile(r"<!-- example: ([\w-]+) -->\n```(\w+)\n(.*?)```", re.DOTALL)
PROGRAM_TIMEOUT_S = 60
NEEDS = {
    "curl": ("curl",),
    "webhook": ("curl", "openssl", "od", "base64"),
    "node-http": ("node",),
    "node-nats": ("node",),
    "nats": ("nats",),
    "python": (),
}


def examples() -> dict[str, tuple[str, str]]:
    """Return language and text of every example, by name."""
    found = EXAMPLE.findall(DOCUMENT.read_text())
    return {name: (language, text) for name, language, text in found}


def command(language: str, place: Path, text: str) -> list[str]:
    """Write an example into a file, and return how a reader would run it."""
    if language == "python":
        (place / "publish.py").write_text(text)
        return [sys.executable, "publish.py"]
    if language == "js":
        (place / "publish.mjs").write_text(text)
        return ["node", "publish.mjs"]
    (place / "publish.sh").write_text(text)
    return ["bash", "-eu", "publish.sh"]


def missing(name: str) -> str:
    """Say which program an example needs and this machine lacks."""
    lacking = [program for program in NEEDS[name] if shutil.which(program) is None]
    if name == "node-nats" and not lacking and os.environ.get("NODE_PATH") is None:  # noqa: TID251  a test's own environment
        lacking = ["@nats-io/transport-node and @nats-io/jetstream on NODE_PATH"]
    return ", ".join(lacking)


def test_every_example_is_known() -> None:
    """No example of the document is left untried."""
    assert examples().keys() == NEEDS.keys()


def test_the_document_sets_what_its_examples_read() -> None:
    """No example reads a variable that the lines before the examples do not export."""
    set_there = set(re.findall(r"^export (\w+)=", DOCUMENT.read_text(), re.MULTILINE))
    read = re.compile(r"\$\{?([A-Z]\w+)|process\.env\.(\w+)|os\.environ\[\"(\w+)\"\]")
    used = {max(names) for _, text in examples().values() for names in read.findall(text)}
    assert used == set_there


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_example_publishes(untouched: Any, eventually: Any, tmp_path: Path, name: str) -> None:
    """What the document says, run as it stands, publishes an event that gets its receipt."""
    if lacking := missing(name):
        pytest.skip(f"needs {lacking}")
    language, text = examples()[name]
    if modules := os.environ.get("NODE_PATH"):  # noqa: TID251  a test's own environment
        (tmp_path / "node_modules").symlink_to(modules)
    before = known(untouched)
    run = untouched.run
    done = subprocess.run(  # noqa: S603  the document's own example
        command(language, tmp_path, text.replace("product:42", "currency:usd")),
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PROGRAM_TIMEOUT_S,
        env={
            **os.environ,  # noqa: TID251  a test's own environment
            "API": untouched.api,
            "TOKEN": untouched.token("invalidations:write"),
            "NATS_URL": run["nats_urls"]["shop"],
            "WEBHOOK_SECRET": run["webhook_secret"],
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    eventually(lambda: len(known(untouched) - before) == 1)
    (receipt_id,) = known(untouched) - before
    eventually(lambda: receipt(untouched, receipt_id)["stage"] in {"applied", "done"})
    assert receipt(untouched, receipt_id)["tags"] == ["currency:usd"]
    assert receipt(untouched, receipt_id)["applied"]["instances"] == len(untouched.bffs)


def known(stack: Any) -> set[str]:
    """Return the ids of the newest receipts."""
    reply = stack.http.get(
        f"{stack.api}/api/v1/invalidations?limit=200", headers=stack.bearer("invalidations:read")
    )
    return {receipt["id"] for receipt in reply.raise_for_status().json()["receipts"]}


def receipt(stack: Any, receipt_id: str) -> dict[str, Any]:
    """Return one receipt, `committed` where it names no stage."""
    reply = stack.http.get(
        f"{stack.api}/api/v1/invalidations/{receipt_id}",
        headers=stack.bearer("invalidations:read"),
    )
    found: dict[str, Any] = reply.raise_for_status().json()
    return {"stage": "committed", **found}

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
OVER_HTTP = ("curl", "webhook", "node-http")  # the api publishes these


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
    found = published(untouched, eventually, tmp_path, name)
    assert found["source"] == ("api" if name in OVER_HTTP else "shop")


def test_a_new_publisher_publishes_at_once(untouched: Any, eventually: Any, tmp_path: Path) -> None:
    """`perfcheck publisher add` prints an address with which the document's example works."""
    added = untouched.command("publisher", "add", "crm")
    assert added.returncode == 0, added.stderr
    address = added.stdout.strip()
    found = published(untouched, eventually, tmp_path, "python", publisher="crm", address=address)
    assert found["source"] == "crm"
    assert untouched.command("publisher", "remove", "crm").returncode == 0
    assert untouched.command("publisher", "list").stdout.split() == ["cli", "shop"]


def published(
    stack: Any,
    eventually: Any,
    place: Path,
    name: str,
    *,
    publisher: str = "shop",
    address: str = "",
) -> dict[str, Any]:
    """Run an example, as it stands or as another publisher; return its receipt, once applied."""
    before = known(stack)
    language, text = examples()[name]
    text = text.replace("product:42", "currency:usd").replace("v1.shop", f"v1.{publisher}")
    if modules := os.environ.get("NODE_PATH"):  # noqa: TID251  a test's own environment
        (place / "node_modules").symlink_to(modules)
    done = subprocess.run(  # noqa: S603  the document's own example
        command(language, place, text),
        cwd=place, capture_output=True, text=True, check=False, timeout=PROGRAM_TIMEOUT_S,
        env={
            **os.environ,  # noqa: TID251  a test's own environment
            "API": stack.api,
            "TOKEN": stack.token("invalidations:write"),
            "NATS_URL": address or stack.run["nats_urls"][publisher],
            "WEBHOOK_SECRET": stack.run["webhook_secret"],
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    eventually(lambda: len(known(stack) - before) == 1)
    (receipt_id,) = known(stack) - before
    eventually(lambda: receipt(stack, receipt_id)["stage"] in {"applied", "done"})
    found = receipt(stack, receipt_id)
    assert found["tags"] == ["currency:usd"]
    assert found["applied"]["instances"] == len(stack.bffs)
    return found


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

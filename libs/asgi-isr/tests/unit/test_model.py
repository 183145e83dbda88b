"""The exhaustive model of the protocol: it holds, and each rule of it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[2] / "model" / "coherence_model.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the model to its end."""
    return subprocess.run(  # noqa: S603  our own interpreter and file
        [sys.executable, str(MODEL), *arguments],
        capture_output=True, check=False, text=True, timeout=120,
    )  # fmt: skip


def test_protocol_holds_in_every_schedule() -> None:
    """Two instances, a crash, one write: the promise holds in all states."""
    done = run("1", "2", "1", "0")
    assert (done.returncode, done.stdout.startswith("holds in all")) == (0, True)


@pytest.mark.parametrize(
    ("promise", "configuration", "rule"),
    [
        ("seen", ("2", "2", "0", "0"), "keepable"),
        ("seen", ("2", "2", "0", "0"), "stamp"),
        ("seen", ("2", "2", "0", "0"), "usable_from_store"),
        ("seen", ("2", "2", "0", "0"), "base_after_pruning"),
        ("quiet", ("1", "2", "1", "0"), "base_after_joining"),
        ("quiet", ("1", "2", "0", "1"), "holds"),
    ],
)
def test_each_rule_is_needed(promise: str, configuration: tuple[str, ...], rule: str) -> None:
    """With one rule broken the model finds a schedule that breaks the promise."""
    done = run(*configuration, rule)
    assert done.returncode == 1
    assert f"'{promise}' VIOLATED by:" in done.stdout

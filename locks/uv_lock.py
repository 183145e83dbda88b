"""Recreate the git-ignored `uv.lock` from the pins in `dev.lock`.

`uv.lock` writes download addresses, and no address of a registry stands in this repository. So the
pins are committed as hashes without addresses, and whoever wants `uv sync` or `uv run` gets the
same versions from them with this: they are handed to `uv lock` as constraints (it reads them from
pyproject.toml only, which is restored afterwards).

usage: uv_lock.py UV
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEADING = "[tool.uv]\n"
LOCK_TIMEOUT_S = 300


def pins(lock: str) -> list[str]:
    """Return the requirements of a hash-pinned requirements file, without the hashes."""
    lines = (line.rstrip("\\ ") for line in lock.splitlines())
    return [line for line in lines if line[:1].isalnum()]


def main() -> int:
    """Write uv.lock; return uv's exit code."""
    project = ROOT / "pyproject.toml"
    before = project.read_text()
    if HEADING not in before:
        sys.stderr.write(f"{project}: no [tool.uv] table to put the constraints into\n")
        return 2
    wanted = json.dumps(pins((ROOT / "locks/dev.lock").read_text()), indent=2)
    changed = before.replace(HEADING, f"{HEADING}constraint-dependencies = {wanted}\n", 1)
    try:
        project.write_text(changed)
        uv = sys.argv[1]
        done = subprocess.run(  # noqa: S603  the uv that the Makefile names
            [uv, "lock"], cwd=ROOT, check=False, timeout=LOCK_TIMEOUT_S
        )
        return done.returncode
    finally:
        project.write_text(before)


if __name__ == "__main__":
    sys.exit(main())

"""`perfcheck migrate` and `perfcheck ingest`: the API's one-shots, as child processes."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from perfcheck import exits
from perfcheck.stack.state import required


def run_api(
    arguments: list[str], *, directory: Path, environ: Mapping[str, str], database_url: str | None
) -> int:
    """Run `python -m perfcheck_api …` on the running stack's database, or on `database_url`.

    Its output goes to ours. Returns 0, or 4 when it failed (it has said why).

    Raises:
        TargetError: without `database_url`, when nothing runs on the state directory.

    """
    if database_url is None:
        run = required(directory)
        own = {"PERFCHECK_DATABASE_URL": run.database_url}
    else:
        own = {"PERFCHECK_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "perfcheck_api", *arguments]
    done = subprocess.run(command, env={**environ, **own}, check=False)  # noqa: S603 -- our own module
    return exits.PASS if done.returncode == 0 else exits.FAILED

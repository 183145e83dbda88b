"""Log files of supervised processes: bounded, readable afterwards."""

import contextlib
import os
import shutil
from pathlib import Path

LOG_BYTES_MAX = 8 * 1024 * 1024


def new_log(path: Path) -> None:
    """Start an empty log, keeping the last run's as `<name>.log.1`."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(f"{path.name}.1"))
    path.touch(mode=0o600)


def cap_log(path: Path, *, bytes_max: int) -> None:
    """Move a log's content to `<name>.log.1` when it has grown above `bytes_max`.

    The file itself stays: its process holds it open for appending and goes on at the start.
    """
    with contextlib.suppress(OSError):  # removed meanwhile, or looked at again in a moment
        if path.stat().st_size > bytes_max:
            with contextlib.suppress(OSError):  # no room for the copy: the more reason to cut
                shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)

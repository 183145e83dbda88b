"""`perfcheck publisher`: who may publish on NATS, on a stack that runs or for its next start."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from perfcheck_embedded import (
    EmbeddedError,
    StateDir,
    add_publisher,
    kept_publishers,
    reload_publishers,
    remove_publisher,
)

from perfcheck.exits import TargetError
from perfcheck.stack.state import Run, running

T = TypeVar("T")


async def add(directory: Path, name: str) -> str | None:
    """Let `name` publish; return its address on a stack that runs.

    Raises:
        TargetError: the name cannot be a publisher's, or the running NATS did not take it.

    """
    run, password = await _change(directory, lambda state: add_publisher(state, name))
    if run is None:
        return None
    return f"nats://{name}:{password}@{urlsplit(run.nats_url).netloc.rpartition('@')[2]}"


async def remove(directory: Path, name: str) -> None:
    """Let `name` publish no more; its connections are closed.

    Raises:
        TargetError: there is no such publisher, or the running NATS did not take it.

    """
    await _change(directory, lambda state: remove_publisher(state, name))


def names(directory: Path) -> tuple[str, ...]:
    """Return the publishers that are kept."""
    return kept_publishers(StateDir(directory))


async def _change(directory: Path, change: Callable[[StateDir], T]) -> tuple[Run | None, T]:
    run = running(directory)
    try:
        if run is None:
            with StateDir(directory) as state:
                return None, change(state)
        state = StateDir(directory)
        found = change(state)
        await reload_publishers(state, run.processes["nats"])
    except EmbeddedError as error:
        raise TargetError(str(error)) from None
    return run, found

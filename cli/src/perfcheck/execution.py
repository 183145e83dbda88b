"""How a command runs: its console and its event loop."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from perfcheck import environment
from perfcheck.console import Console

T = TypeVar("T")


def console() -> Console:
    """Return the console, without colour when NO_COLOR is set (https://no-color.org)."""
    return Console(colour=not environment.environ().get("NO_COLOR"))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    import asyncio  # noqa: PLC0415 -- so that `--help` does without it

    return asyncio.run(work)

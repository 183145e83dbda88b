"""`perfcheck up`: the whole system until Ctrl-C."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from perfcheck_embedded import Event

from perfcheck import environment
from perfcheck.console import Console
from perfcheck.stack.processes import running_stack
from perfcheck.stack.state import Run


class StartLine:
    """Collects what came up into one compact line; says aloud what goes wrong later."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._parts: dict[str, str] = {}  # restarted, a part takes its place
        self._settled = False

    def __call__(self, event: Event) -> None:
        """Take an event of the supervisor."""
        if event.kind in {"ready", "finished"} and not self._settled:
            tick = click.style("✓", fg="green")
            self._parts[event.name] = f"{tick} {event.name} {event.duration_s or 0:.1f}s"
            self._console.rewrite(self.text())
        elif event.kind in {"exited", "restarting", "warning"} or (
            self._settled and event.kind == "ready"
        ):
            self._console.progress(event.text())

    def text(self) -> str:
        """Return the line so far."""
        return "  ".join(self._parts.values())

    def settle(self) -> None:
        """Everything is up: from here on, each event gets its own line."""
        self._settled = True
        self._console.rewrite("")


def addresses(run: Run) -> str:
    """Return the addresses that a user wants, one a line."""
    lines = [("dashboard", f"{run.urls.bff[0]}/perf")]
    lines += [(f"pages bff-{number}", f"{url}/") for number, url in enumerate(run.urls.bff, 1)]
    lines += [
        ("api", f"{run.urls.api}/api/v1/currencies"),
        ("OpenAPI", f"{run.urls.api}/api/schema"),
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {address}" for name, address in lines)


def exports(run: Run, directory: Path, command: Sequence[str]) -> str:
    """Return the line that sets what the README's commands use; `command` starts perfcheck."""
    token = shlex.join([*command, "token", "--state", str(directory.absolute())])
    return f"export BFF={run.urls.bff[0]} API={run.urls.api} TOKEN=$({token})"


async def up(
    directory: Path, environ: Mapping[str, str], console: Console, *, bffs: int, fresh: bool
) -> None:
    """Bring everything up, print where it is, and stop it in order on Ctrl-C.

    Raises:
        TargetError: as `running_stack` does.

    """
    line = StartLine(console)
    started_s = environment.monotonic_s()
    async with running_stack(directory, environ, bffs=bffs, fresh=fresh, on_event=line) as (
        run,
        supervisor,
    ):
        line.settle()
        console.data(f"{line.text()}  in {environment.monotonic_s() - started_s:.1f}s")
        console.data(addresses(run))
        console.progress(f"for your shell: {exports(run, directory, environment.command())}")
        console.progress(f"logs in {directory / 'logs'}; Ctrl-C stops everything")
        await supervisor.wait()
        console.progress("stopping")
        stopping_s = environment.monotonic_s()
    console.progress(f"stopped in {environment.monotonic_s() - stopping_s:.1f}s")

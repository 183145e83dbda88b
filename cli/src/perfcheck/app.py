"""The command line: names, options and help. What commands do is imported when one is run.

So `perfcheck --help` loads click and nothing else of weight.
"""
# ruff: noqa: PLC0415 -- imports inside commands keep `--help` fast

import importlib.metadata
import io
import math
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from perfcheck import environment, exits
from perfcheck.console import Console

T = TypeVar("T")
SETTINGS = {"help_option_names": ["-h", "--help"]}

state_option = click.option(
    "--state",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".perfcheck"),
    envvar="PERFCHECK_STATE",
    show_envvar=True,
    show_default=True,
    help="Directory of the stack: its data, its logs and what runs.",
)


class Duration(click.ParamType[float]):
    """A time such as `5s`, `500ms`, `2m`, or a plain number of seconds; the value is in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds; refuses what is no time, or not more than 0."""
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip().lower()
        for unit, seconds in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("", 1.0)):
            number = text.removesuffix(unit).strip()
            if text.endswith(unit) and number.replace(".", "", 1).isdecimal() and float(number) > 0:
                return float(number) * seconds
        return self.fail(f"{value!r} is no time: write 5s, 500ms or 2m", param, ctx)


DURATION = Duration()


class Rate(click.FloatRange):
    """A number above 0, up to 1000; click's range alone lets NaN through."""

    def __init__(self) -> None:
        super().__init__(0, 1000, min_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; refuses what is none, or out of range."""
        rate: float = super().convert(value, param, ctx)
        if math.isnan(rate):
            self.fail(f"{value!r} is no number", param, ctx)
        return rate


@click.group(context_settings=SETTINGS)
@click.version_option(importlib.metadata.version("perfcheck"), prog_name="perfcheck")
def cli() -> None:
    """Run the system, invalidate its cached pages, and check how fast it is.

    Exit codes: 0 pass, 1 a budget is broken, 2 wrong usage, 3 no data, 4 the target or a tool
    failed, 130 interrupted.
    """


@cli.command()
@click.option("--fresh", is_flag=True, help="Drop the kept data first.")
@click.option(
    "--bffs", type=click.IntRange(1, 8), default=2, show_default=True, help="BFF instances."
)
@state_option
def up(directory: Path, *, fresh: bool, bffs: int) -> None:
    """Run the whole system here until Ctrl-C: servers, services, real data."""
    from perfcheck.up import up as work

    run(work(directory, environment.environ(), console(), bffs=bffs, fresh=fresh))


@cli.command()
@state_option
@click.option("--database-url", help="Another database than the running stack's.")
def migrate(directory: Path, database_url: str | None) -> int:
    """Bring the database's schema up to date."""
    return _one_shot(["migrate"], directory, database_url)


@cli.command()
@click.option("--source", type=click.Path(path_type=Path), help="CSV or zip of the ECB's history.")
@state_option
@click.option("--database-url", help="Another database than the running stack's.")
def ingest(source: Path | None, directory: Path, database_url: str | None) -> int:
    """Load the rates: from the file in the package, or from --source."""
    options = [] if source is None else ["--source", str(source.absolute())]
    return _one_shot(["ingest", *options], directory, database_url)


@cli.command()
@click.option("--days", type=click.IntRange(1, 10_000), default=250, show_default=True)
@click.option(
    "--rate",
    type=Rate(),
    default=10.0,
    show_default=True,
    help="Writes per second.",
)
@click.option("--api", help="Another API than the running stack's.")
@state_option
def replay(days: int, rate: float, api: str | None, directory: Path) -> None:
    """Write the last business days again, oldest first, through the API."""
    from perfcheck.replay import replay as work
    from perfcheck.state import required

    run(work(api or required(directory).urls.api, console(), days=days, rate_per_s=rate))


@cli.command()
@click.argument("names", metavar="TAG|PATH...", nargs=-1, required=True)
@click.option("--mode", default="hard", show_default=True, help="hard or soft.")
@click.option("--reason", default="", help="Why; travels with the event.")
@click.option("--wait", is_flag=True, help="Return when every BFF instance has applied it.")
@click.option("--timeout", "timeout_s", type=DURATION, default=5.0, show_default="5s")
@click.option("--bff", "bffs", multiple=True, metavar="URL", help="Instances to wait for.")
@click.option("--nats-url", help="Another log than the running stack's.")
@state_option
def invalidate(
    names: tuple[str, ...],
    directory: Path,
    *,
    mode: str,
    reason: str,
    wait: bool,
    timeout_s: float,
    bffs: tuple[str, ...],
    nats_url: str | None,
) -> None:
    """Invalidate cached pages.

    By tag (currency:usd), path (/pairs/USD/JPY), prefix (/pairs/USD/*), or all of them (*).
    """
    from perfcheck import invalidate as work

    event = work.event_of(names, mode=mode, reason=reason)
    target = work.target(directory, nats_url=nats_url, bffs=bffs)
    run(work.invalidate(event, target, console(), wait=wait, timeout_s=timeout_s))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--watch", is_flag=True, help="Ask again every two seconds until Ctrl-C.")
@state_option
def status(directory: Path, *, as_json: bool, watch: bool) -> int:
    """Show the health of every service and the caches of the BFF instances."""
    from asyncio import sleep

    from perfcheck import status as work

    async def show() -> int:
        while True:
            parts = await work.ask(directory)
            console().data(work.as_json(parts) if as_json else work.text(parts))
            if not watch:
                return work.exit_code(parts)
            await sleep(2.0)

    return run(show())


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, the table on stderr.")
@click.option(
    "--duration",
    "duration_s",
    type=DURATION,
    envvar="PERFCHECK_CHECK_DURATION",
    show_envvar=True,
    help="How long cached pages are measured.",
)
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="METRIC=VALUE",
    help="Another limit for this run; also PERFCHECK_BUDGET_<METRIC>.",
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="PERFCHECK_CONFIG",
    show_envvar=True,
    help="Budget file; default perfcheck.toml here, else built-in budgets.",
)
@click.option(
    "--skip",
    "skipped",
    multiple=True,
    type=click.Choice(["pages", "cpu", "service", "invalidation"]),
    help="Leave a group of metrics out.",
)
@click.option("--bff", "bffs", multiple=True, metavar="URL", help="Measure these instances.")
@click.option("--api", metavar="URL", help="The API behind them.")
@click.option("--nats-url", help="The log they follow.")
@state_option
def check(
    directory: Path,
    *,
    as_json: bool,
    duration_s: float | None,
    budgets: tuple[str, ...],
    config_path: Path | None,
    skipped: tuple[str, ...],
    bffs: tuple[str, ...],
    api: str | None,
    nats_url: str | None,
) -> int:
    """Measure, compare with budgets, give a verdict.

    Measures the running stack, or brings one up for the time it takes.
    """
    from perfcheck.check import config, report
    from perfcheck.check import run as work
    from perfcheck.check.metrics import Group

    request = work.Request(
        directory=directory,
        config=config.load(
            path=config_path,
            directory=Path.cwd(),
            environ=environment.environ(),
            overrides=budgets,
            duration_s=duration_s,
        ),
        skipped=frozenset(Group(name) for name in skipped),
        bffs=list(bffs),
        api=api,
        nats_url=nats_url,
    )
    found = run(work.check(request, environment.environ(), console()))
    if as_json:
        console().data(report.as_json(found))
        console().progress(report.table(found))
    else:
        console().data(report.table(found))
    return found.exit_code


def console() -> Console:
    """Return the console, without colour when NO_COLOR is set (https://no-color.org)."""
    return Console(colour=not environment.environ().get("NO_COLOR"))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    import asyncio

    return asyncio.run(work)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; every expected error is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal that cannot show ✓ still gets the rest
    try:
        code = cli.main(args=arguments, prog_name="perfcheck", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return exits.USAGE
    except exits.CommandError as error:
        console().progress(f"perfcheck: {error}")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return exits.INTERRUPTED
    return code if isinstance(code, int) else exits.PASS


def _one_shot(arguments: list[str], directory: Path, database_url: str | None) -> int:
    from perfcheck.oneshots import run_api

    return run_api(
        arguments,
        directory=directory,
        environ=environment.environ(),
        database_url=database_url,
    )

"""The command line: names, options and help. What commands do is imported when one is run.

So `perfcheck --help` loads click and nothing else of weight.
"""
# ruff: noqa: PLC0415 -- imports inside commands keep `--help` fast

import importlib.metadata
import io
import sys
from pathlib import Path

import rich_click as click

from perfcheck import environment, exits
from perfcheck.events.commands import dead_letters, invalidate, publisher, receipts, token
from perfcheck.execution import console, run
from perfcheck.options import DURATION, Rate, api_option, state_option, token_option

CLICK_SETTINGS = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=CLICK_SETTINGS)
@click.version_option(importlib.metadata.version("perfcheck"), prog_name="perfcheck")
def cli() -> None:
    """Run the system, invalidate its cached pages, and check how fast it is.

    Exit codes: 0 pass, 1 a budget is broken, 2 wrong usage, 3 no data, 4 the target or a tool
    failed, 130 interrupted.
    """


@cli.command()
@click.option("--fresh", is_flag=True, help="Delete the kept data first.")
@click.option(
    "--bffs", type=click.IntRange(1, 8), default=2, show_default=True, help="BFF instances."
)
@state_option
def up(directory: Path, *, fresh: bool, bffs: int) -> None:
    """Run the whole system here until Ctrl-C: servers, services, real data."""
    from perfcheck.stack.up import up as work

    run(work(directory, environment.environ(), console(), bffs=bffs, fresh=fresh))


@cli.command()
@state_option
@click.option("--database-url", help="A database other than the running stack's.")
def migrate(directory: Path, database_url: str | None) -> int:
    """Bring the database's schema up to date."""
    return _one_shot(["migrate"], directory, database_url)


@cli.command()
@click.option("--source", type=click.Path(path_type=Path), help="CSV or zip of the ECB's history.")
@state_option
@click.option("--database-url", help="A database other than the running stack's.")
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
@api_option
@token_option
@state_option
def replay(days: int, rate: float, api: str | None, token: str | None, directory: Path) -> None:
    """Write the last business days again, oldest first, through the API.

    Ends when every day's event was applied by all BFF instances, as its receipt tells, and says how
    long that took. A token needs the scopes rates:write and invalidations:read.

    Example: perfcheck replay --days 250 --rate 10
    """
    from perfcheck.events.replay import replay as work
    from perfcheck.stack.state import service

    target = service(directory, "api", url=api, token=token)
    run(work(target, console(), days=days, rate_per_s=rate))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--watch", is_flag=True, help="Ask again every two seconds until Ctrl-C.")
@state_option
def status(directory: Path, *, as_json: bool, watch: bool) -> int:
    """Show the health of every service and the caches of the BFF instances."""
    from asyncio import sleep

    from perfcheck.stack import status as work

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
    help="How long to measure cached pages.",
)
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="METRIC=VALUE",
    help="Override a limit for this run; also PERFCHECK_BUDGET_<METRIC>.",
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
    help="Skip a group of metrics.",
)
@click.option("--bff", "bffs", multiple=True, metavar="URL", help="Measure these instances.")
@click.option("--api", metavar="URL", help="The API behind them.")
@token_option
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
    token: str | None,
) -> int:
    """Measure, compare with the budgets, and give a verdict.

    Measures the running stack, or brings one up for the time it takes; or the instances named by
    --bff, with their --api. Invalidations of those are measured with a --token alone (scope
    invalidations:write); without one, leave them out by --skip invalidation.
    """
    from perfcheck.check import run as work
    from perfcheck.judge import config, report
    from perfcheck.judge.metrics import Group

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
        token=token,
    )
    found = run(work.check(request, environment.environ(), console()))
    if as_json:
        console().data(report.as_json(found))
        console().progress(report.table(found))
    else:
        console().data(report.table(found))
    return found.exit_code


for command in (invalidate, receipts, dead_letters, publisher, token):
    cli.add_command(command)


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
    from perfcheck.stack.oneshots import run_api

    return run_api(
        arguments,
        directory=directory,
        environ=environment.environ(),
        database_url=database_url,
    )

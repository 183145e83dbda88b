"""`python -m perfcheck_api`: serve; with `migrate`, `ingest` or `take-log`, do that and end.

Exit codes: 0 done, 2 wrong usage or settings, 4 failed.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec
from asgi_isr.errors import IsrError
from perfcheck_chassis.logs import configure_logging
from perfcheck_chassis.process import serve
from perfcheck_chassis.secret import Secret
from perfcheck_chassis.settings import SettingsError, environment, load
from prometheus_client import CollectorRegistry

from perfcheck_api.db import DatabaseError, connect
from perfcheck_api.errors import ApiError, MigrationError
from perfcheck_api.ingest.load import Summary, ingest
from perfcheck_api.migrations.migrate import Migration, migrate, packaged, pending
from perfcheck_api.outbox.metrics import RelayMetrics
from perfcheck_api.outbox.take_log import take_log
from perfcheck_api.settings import DatabaseSettings, LogSettings, Settings

EXIT_USAGE = 2
EXIT_FAILED = 4
_STATEMENT_TIMEOUT_S = 120.0  # for one-shot commands: a statement may touch every row


def main(arguments: list[str] | None = None) -> int:
    """Run the command that `arguments` name; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command is None:
            serve("perfcheck_api.app:from_environment", load(Settings, environment()), "api")
            return 0
        if options.command == "take-log":
            sys.stdout.write(f"{asyncio.run(_take_log(load(LogSettings, environment())))}\n")
            return 0
        settings = load(DatabaseSettings, environment())
        configure_logging("api", options.command, settings.log_level)
        if options.command == "migrate":
            applied = asyncio.run(_migrate(settings.database_url))
            lines = [f"applied {entry.version:04}_{entry.name}\n" for entry in applied]
            sys.stdout.write("".join(lines) or "up to date\n")
        else:
            summary = asyncio.run(_ingest(settings.database_url, options))
            sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    except SettingsError as error:
        return _fail("\n".join(error.problems), EXIT_USAGE)
    except (ApiError, IsrError) as error:
        return _fail(str(error), EXIT_FAILED)
    except DatabaseError as error:
        return _fail(f"the database: {error}", EXIT_FAILED)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m perfcheck_api", description="Serve the api, or do one thing and end."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("migrate", help="apply missing migrations and name them")
    commands.add_parser("take-log", help="give the log to this database: another one has it")
    load_rates = commands.add_parser("ingest", help="load reference rates and sum up as JSON")
    load_rates.add_argument(
        "--source", type=Path, help="an ECB file, CSV or zip; by default the packaged one"
    )
    load_rates.add_argument(
        "--if-empty", action="store_true", help="do nothing if there are rates already"
    )
    return parser


def _fail(message: str, code: int) -> int:
    sys.stderr.write(message.rstrip() + "\n")
    return code


async def _migrate(url: Secret) -> list[Migration]:
    async with connect(url, name="migrate", statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
        return await migrate(connection, packaged())


async def _take_log(settings: LogSettings) -> str:
    configure_logging("api", "take-log", settings.log_level)
    taken = await take_log(
        settings.database_url,
        settings.nats_url.reveal(),
        metrics=RelayMetrics(CollectorRegistry()),
        tls_ca_file=settings.tls_ca_file,
    )
    return "everything is invalidated; the log is this database's" if taken else "it was already"


async def _ingest(url: Secret, options: argparse.Namespace) -> Summary:
    async with connect(url, name="ingest", statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
        if missing := await pending(connection, packaged()):
            raise MigrationError(f"{len(missing)} migrations are missing: run migrate first")
        return await ingest(connection, options.source, if_empty=options.if_empty)


if __name__ == "__main__":
    sys.exit(main())

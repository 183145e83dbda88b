"""Migrations: numbered SQL files, applied once each, in order, forward only.

Files are `migrations/NNNN_name.sql`, numbered from 0001 without a hole. Each runs in a transaction
together with its entry in `schema_migrations`, all under one advisory lock, so that any number of
processes may migrate at once. A file that was applied must never change: its checksum is kept.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import NamedTuple

from perfcheck_api.db import Connection, DatabaseError
from perfcheck_api.errors import MigrationError
from perfcheck_api.locks import MIGRATION_LOCK

_MIGRATION_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")

_CREATE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_EXISTS = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_APPLIED = "SELECT version, name, checksum FROM schema_migrations ORDER BY version"
_NEWEST = "SELECT coalesce(max(version), 0) FROM schema_migrations"
_RECORD = "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)"


class AppliedMigration(NamedTuple):
    """A migration that the database has."""

    version: int
    name: str
    checksum: str


class Migration(NamedTuple):
    """A migration file of this release."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of the text, the same whatever the line ends are."""
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()


def packaged() -> list[Migration]:
    """Return the migrations of this release, in order. Raises `MigrationError` as `parse` does."""
    folder = files("perfcheck_api") / "migrations"
    found = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return parse((file.name, file.read_text(encoding="utf-8")) for file in found)


def parse(sources: Iterable[tuple[str, str]]) -> list[Migration]:
    """Return migrations from pairs of file name and text, in order.

    Raises:
        MigrationError: for a name of another form, a number given twice, or a hole.

    """
    migrations: list[Migration] = []
    for file_name, sql in sorted(sources):
        match = _MIGRATION_FILE.fullmatch(file_name)
        if match is None:
            raise MigrationError(f"{file_name}: name migrations NNNN_what_it_does.sql")
        migrations.append(Migration(int(match[1]), match[2], sql))
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise MigrationError(
                f"{migration.version:04}_{migration.name}.sql is where {expected:04} should be:"
                " number migrations from 0001, without gaps or duplicates"
            )
    return migrations


def plan(applied: Sequence[AppliedMigration], migrations: Sequence[Migration]) -> list[Migration]:
    """Return what is still to apply, in order.

    Raises:
        MigrationError: when a migration that the database has is unknown here, was changed since,
            or was skipped.

    """
    known = {migration.version: migration for migration in migrations}
    for entry in applied:
        label = f"{entry.version:04}_{entry.name}.sql"
        migration = known.get(entry.version)
        if migration is None:
            raise MigrationError(
                f"the database has {label}, which this release lacks: deploy a release that has it"
            )
        if (migration.name, migration.checksum) != (entry.name, entry.checksum):
            raise MigrationError(
                f"{label} was changed after it had been applied (now"
                f" {migration.version:04}_{migration.name}.sql): restore it as it was, and put the"
                " change into a new migration"
            )
    done = {entry.version for entry in applied}
    last = max(done, default=0)
    for migration in migrations:
        if migration.version < last and migration.version not in done:
            raise MigrationError(
                f"{migration.version:04}_{migration.name}.sql is out of order: the database already"
                f" has {last:04}; give it the next free number"
            )
    return [migration for migration in migrations if migration.version not in done]


async def pending(connection: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Return what `migrate` would apply. Raises `MigrationError` as `plan` does."""
    return plan(await _applied(connection), migrations)


async def schema_problem(connection: Connection) -> str | None:
    """Return None when the schema is as new as this release needs, else what to do."""
    row = await (await connection.execute(_EXISTS)).fetchone()
    if row is not None and row[0]:
        row = await (await connection.execute(_NEWEST)).fetchone()
    version = int(row[0]) if row is not None else 0
    needed = packaged()[-1].version
    if version < needed:
        return f"the schema is at {version}, this release needs {needed}: run migrate"
    return None


async def migrate(connection: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Apply what is missing; return it. `connection` is in autocommit.

    Raises:
        MigrationError: as `plan` does, with nothing applied then; or naming the file that failed,
            which left no trace, after those before it were applied.

    """
    await connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
    try:
        await connection.execute(_CREATE)
        missing = plan(await _applied(connection), migrations)
        for migration in missing:
            await _apply(connection, migration)
    finally:
        if not connection.closed:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))
    return missing


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql.encode())
            await connection.execute(
                _RECORD, (migration.version, migration.name, migration.checksum)
            )
    except DatabaseError as error:
        raise MigrationError(
            f"{migration.version:04}_{migration.name}.sql failed and was rolled back: {error}"
        ) from error


async def _applied(connection: Connection) -> list[AppliedMigration]:
    row = await (await connection.execute(_EXISTS)).fetchone()
    if row is None or not row[0]:
        return []
    cursor = await connection.execute(_APPLIED)
    return [AppliedMigration(*row) for row in await cursor.fetchall()]

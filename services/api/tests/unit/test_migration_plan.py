import pytest
from perfcheck_api.errors import MigrationError
from perfcheck_api.migrations.migrate import AppliedMigration, Migration, packaged, parse, plan

ONE, TWO, THREE = (Migration(n, f"step_{n}", f"SELECT {n}") for n in (1, 2, 3))


def _applied(migration: Migration) -> AppliedMigration:
    return AppliedMigration(migration.version, migration.name, migration.checksum)


def test_what_is_missing_is_applied_in_order() -> None:
    """Everything on an empty database, the rest on an older one, nothing on a current one."""
    assert plan([], [ONE, TWO, THREE]) == [ONE, TWO, THREE]
    assert plan([_applied(ONE)], [ONE, TWO, THREE]) == [TWO, THREE]
    assert plan([_applied(ONE), _applied(TWO)], [ONE, TWO]) == []


@pytest.mark.parametrize(
    ("applied", "files", "message"),
    [
        ([ONE, TWO], [ONE], "the database has 0002_step_2.sql, which this release lacks"),
        ([ONE], [ONE._replace(sql="SELECT 9")], "0001_step_1.sql was changed after"),
        ([ONE], [ONE._replace(name="renamed")], "0001_step_1.sql was changed after"),
        ([ONE, THREE], [ONE, TWO, THREE], "0002_step_2.sql is out of order"),
    ],
)
def test_what_does_not_fit_is_refused(
    applied: list[Migration], files: list[Migration], message: str
) -> None:
    """Unknown, changed and skipped migrations are told apart, with what to do."""
    with pytest.raises(MigrationError) as caught:
        plan([_applied(migration) for migration in applied], files)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_a.sql", "0003_c.sql"], "0003_c.sql is where 0002 should be"),
        (["0002_b.sql"], "0002_b.sql is where 0001 should be"),
        (["0001_a.sql", "0001_b.sql"], "0001_b.sql is where 0002 should be"),
        (["1_a.sql"], "1_a.sql: name migrations NNNN_what_it_does.sql"),
        (["0001-a.sql"], "0001-a.sql: name migrations"),
    ],
)
def test_files_are_numbered_without_a_hole(names: list[str], message: str) -> None:
    """Holes, numbers given twice and other names are refused before anything is applied."""
    with pytest.raises(MigrationError) as caught:
        parse((name, "") for name in names)
    assert str(caught.value).startswith(message)


def test_line_ends_do_not_change_a_checksum() -> None:
    """A checkout on another system is the same migration."""
    assert ONE._replace(sql="a\r\nb").checksum == ONE._replace(sql="a\nb").checksum
    assert ONE._replace(sql="a\nb").checksum != ONE._replace(sql="a b").checksum


def test_the_packaged_migrations_are_in_order() -> None:
    """Those of this release pass their own rules, and name the 41 currencies."""
    found = packaged()
    assert [migration.name for migration in found[:3]] == ["rates", "currency_names", "outbox"]
    assert found[1].sql.count("\n    ('") == 41

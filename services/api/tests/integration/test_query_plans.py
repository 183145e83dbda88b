"""Each statement of the repositories runs on an index of the rates, explained on the full data."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from perfcheck_api.ingest import repository as ingest_repository
from perfcheck_api.invalidations import repository as invalidations_repository
from perfcheck_api.rates import statements as rates_statements
from perfcheck_api.receipts import repository as receipts_repository

_DAY = {"day": date(2026, 10, 29)}
_RANGE = {"start": date(1999, 1, 4), "end": date.max}
_YEAR = {"start": date(2025, 1, 1), "end": date(2026, 1, 1)}

RATES: Mapping[str, Mapping[str, Any]] = {
    "CURRENCIES": {},
    "CURRENCY": {"code": "USD"},
    "HISTORY": {"code": "USD", **_RANGE},
    "PAIR": {"base": "USD", "quote": "JPY", **_RANGE},
    "PAIR_FROM_EURO": {"euro": "Euro", "quote": "JPY", **_RANGE},
    "PAIR_TO_EURO": {"euro": "Euro", "base": "JPY", **_RANGE},
    "DAY": _DAY,
    "LATEST_DAY": {},
    "YEARS": {},
    "YEAR": _YEAR,
    "KNOWN_CODES": {},
    "LOCK_WRITERS": {"lock": 1},
    "CODES_OF_DAY": _DAY,
    "NEIGHBOURS": _DAY,
    "REMOVE_RATES": {**_DAY, "codes": ["USD", "JPY"]},
    "WRITE_RATES": {**_DAY, "codes": ["USD"], "rates": [Decimal("1.5")]},
}
# Those that read no rates, and why they need no index of them.
WITHOUT_RATES = {"KNOWN_CODES", "LOCK_WRITERS", "WRITE_RATES"}

INGEST = {"HAS_RATES", "KNOWN_CODES", "LOCK_WRITERS", "UPSERT"}
NOT_EXPLAINABLE = {"STAGE", "COPY", "SETTLE"}  # PostgreSQL explains queries only


def _statements(module: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if name.isupper() and type(value) is str and not name.startswith("_")
    }


_LISTED = {
    "source": "api",
    "stage": "dead",
    "tag": "x",
    "at": datetime.now(tz=UTC),  # noqa: TID251  a moment like any other
    "id": "x",
    "since": datetime(2020, 1, 1, tzinfo=UTC),
    "limit": 50,
    "walked_max": 5000,
}
_KEYED = {"caller": "c", "key": "k", "lifetime_s": 86_400.0}
INVALIDATIONS: Mapping[str, Mapping[str, Any]] = {
    "TRY_KEY": {"key_lock": 1},
    "KEPT_KEY": _KEYED,
    "KEEP_KEY": {**_KEYED, "body_hash": b"", "outbox_id": 1, "event_id": uuid4()},
    "PRUNE_KEYS": {"lifetime_s": 86_400.0, "rows_max": 1000},
}
RECEIPTS: Mapping[str, Mapping[str, Any]] = {
    "RECEIPT": {"id": "x", "source": None},
    "LIST": _LISTED,
    "LIST_OF_SOURCE": _LISTED,
    "LIST_DEAD": _LISTED,
    "END_OF_LIST": _LISTED,
    "END_OF_SOURCE": _LISTED,
    "END_DEAD": _LISTED,
    "MERGE": {"parts": "[]"},
    "TRY_PRUNE": {"prune_lock": 1},
    "PRUNE_RECEIPTS": {"age_s": 600_000.0, "rows_kept": 1_000_000, "rows_max": 1000},
}


def test_every_statement_is_explained_here() -> None:
    """Whoever adds a statement adds its parameters above."""
    assert _statements(invalidations_repository) == set(INVALIDATIONS)
    assert _statements(receipts_repository) == set(RECEIPTS)
    assert _statements(rates_statements) == set(RATES)
    assert _statements(ingest_repository) == INGEST | NOT_EXPLAINABLE


def _nodes(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    below = [node for child in plan.get("Plans", ()) for node in _nodes(child)]
    return [plan, *below]


def _explain(url: str, sql: str, parameters: Any, mode: str) -> list[Mapping[str, Any]]:
    with psycopg.connect(url) as connection:
        connection.execute(f"SET LOCAL plan_cache_mode = {mode}".encode())
        cursor = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode(), parameters)
        row = cursor.fetchone()
        connection.rollback()
    assert row is not None
    return _nodes(row[0][0]["Plan"])


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", sorted(RATES))
def test_statements_of_the_rates_use_an_index(full_data: Any, name: str, mode: str) -> None:
    """No plan, made for these parameters or for any, reads the table of rates from end to end."""
    nodes = _explain(full_data.url, getattr(rates_statements, name), RATES[name], mode)
    of_rates = [node for node in nodes if node.get("Relation Name") == "rates"]
    assert "Seq Scan" not in {node["Node Type"] for node in of_rates}, nodes
    if name not in WITHOUT_RATES:
        indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
        assert indexes & {"rates_pkey", "rates_day"}, nodes


def test_the_upsert_reads_only_what_it_was_given(full_data: Any) -> None:
    """Loading does not scan the rates: it looks each one up by its key."""
    with psycopg.connect(full_data.url) as connection:
        connection.execute(ingest_repository.STAGE)
        cursor = connection.execute(f"EXPLAIN (FORMAT JSON) {ingest_repository.UPSERT}".encode())
        row = cursor.fetchone()
        connection.rollback()
    assert row is not None
    scans = [node for node in _nodes(row[0][0]["Plan"]) if node["Node Type"] == "Seq Scan"]
    assert [scan["Relation Name"] for scan in scans] == ["stage"]


@pytest.fixture(scope="session")
def many_receipts(full_data: Any) -> str:
    """Give the URL of the data with so many receipts and keys that a scan of all would show."""
    with psycopg.connect(full_data.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO receipts (event_id, at, source, event, dead) SELECT n,"
            " now() - interval '1 s' * n, CASE WHEN n % 100 = 0 THEN 'shop' ELSE 'api' END,"
            " '{\"tags\": [\"x\"]}', CASE WHEN n % 1000 = 0 THEN 'why' ELSE '' END"
            " FROM generate_series(1, 30000) AS n"
        )
        connection.execute(
            "INSERT INTO idempotency_keys SELECT 'c', n, '', n, gen_random_uuid(),"
            " now() - interval '1 s' * n FROM generate_series(1, 30000) AS n"
        )
        connection.execute("ANALYZE receipts, idempotency_keys")
    return str(full_data.url)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", [*INVALIDATIONS, *RECEIPTS])
def test_statements_of_invalidations_and_receipts_use_an_index(
    many_receipts: str, name: str, mode: str
) -> None:
    """No plan reads receipts or keys from end to end, nor sorts what it reads."""
    module = receipts_repository if name in RECEIPTS else invalidations_repository
    nodes = _explain(
        many_receipts, getattr(module, name), {**INVALIDATIONS, **RECEIPTS}[name], mode
    )
    kinds = {node["Node Type"] for node in nodes}
    assert "Seq Scan" not in kinds, nodes
    if name.startswith(("LIST", "END", "PRUNE")):
        assert "Sort" not in kinds, nodes

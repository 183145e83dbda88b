import asyncio
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from asgi_isr.events import decode
from perfcheck_api.db import connect
from perfcheck_api.errors import SourceError
from perfcheck_api.ingest.load import Summary, ingest
from perfcheck_api.migrations.migrate import packaged
from perfcheck_chassis.secret import Secret

OUTBOX = "SELECT payload FROM outbox"
COUNT = "SELECT count(*) FROM rates"
SMALL = "Date,USD,CYP,\n2008-01-02,1.4688,N/A,\n2007-12-31,1.4721,0.585274,\n"


async def _ingest(url: str, source: Path | None = None, *, if_empty: bool = False) -> Summary:
    async with connect(Secret(url), name="test", statement_timeout_s=60) as connection:
        return await ingest(connection, source, if_empty=if_empty)


def _file(folder: Path, text: str) -> Path:
    path = folder / "rates.csv"
    path.write_text(text)
    return path


async def test_the_whole_file_is_loaded(schema_url: str, fetch: Any, ecb: Any) -> None:
    """All 221,702 rates arrive as they stand in the file, announced by one event."""
    summary = await _ingest(schema_url)
    print(f"\ningest of {summary.inserted} rates: {summary.duration_s} s")  # noqa: T201  a figure; the aim is 5 s on a quiet machine
    assert (summary.rates, summary.inserted, summary.changed) == (221_702, 221_702, 0)
    assert (summary.days, summary.first_day, summary.last_day) == (7126, "1999-01-04", "2026-10-30")
    stored = {
        (currency, day): rate
        for currency, day, rate in fetch(schema_url, "SELECT currency, day, rate::text FROM rates")
    }
    assert stored == {
        (currency, day): rate for day, rates in ecb.items() for currency, rate in rates.items()
    }
    assert [decode(payload).tags for (payload,) in fetch(schema_url, OUTBOX)] == [("*",)]


async def test_loading_again_changes_and_announces_nothing(copy_url: str, fetch: Any) -> None:
    """The second load finds every rate as it is."""
    summary = await _ingest(copy_url)
    assert (summary.inserted, summary.changed, summary.event_id) == (0, 0, None)
    assert fetch(copy_url, OUTBOX) == []


async def test_a_file_by_path_changes_only_what_differs(
    copy_url: str, fetch: Any, tmp_path: Path
) -> None:
    """Rates of other days stay; what differs is changed, what is new is added, one event tells."""
    text = "Date,USD,JPY,\n2026-11-02,1.2,170,\n2026-10-30,1.1172,200,\n"
    archive = tmp_path / "rates.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("eurofxref.csv", text)
    summary = await _ingest(copy_url, archive)
    assert (summary.rates, summary.inserted, summary.changed) == (4, 2, 1)
    assert fetch(copy_url, COUNT) == [(221_704,)]
    assert len(fetch(copy_url, OUTBOX)) == 1


async def test_if_empty_leaves_existing_rates_alone(
    schema_url: str, fetch: Any, tmp_path: Path
) -> None:
    """The first load fills, the second is skipped, whatever its file says."""
    source = _file(tmp_path, SMALL)
    assert (await _ingest(schema_url, source, if_empty=True)).inserted == 3
    source.write_text("nonsense")
    assert (await _ingest(schema_url, source, if_empty=True)).skipped
    assert fetch(schema_url, COUNT) == [(3,)]


async def test_a_bad_file_writes_nothing(schema_url: str, fetch: Any, tmp_path: Path) -> None:
    """An error in the last line leaves no rate and no event of the lines before."""
    source = _file(tmp_path, SMALL + "2007-12-28,1.4692,zero,\n")
    with pytest.raises(SourceError, match="line 4, CYP: 'zero' is not a rate"):
        await _ingest(schema_url, source)
    assert fetch(schema_url, COUNT) == [(0,)]
    assert fetch(schema_url, OUTBOX) == []


async def _command(url: str, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "perfcheck_api", *arguments,
        env={"PATH": os.defpath, "PERFCHECK_DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_commands_migrate_and_ingest(empty_url: str, tmp_path: Path) -> None:
    """Each does its work, says what it did on stdout, and complains on stderr with a code."""
    source = str(_file(tmp_path, SMALL))
    code, _, err = await _command(empty_url, "ingest", "--source", source)
    assert (code, err) == (4, f"{len(packaged())} migrations are missing: run migrate first\n")
    code, out, _ = await _command(empty_url, "migrate")
    assert (code, out.splitlines()[0]) == (0, "applied 0001_rates")
    assert (await _command(empty_url, "migrate"))[:2] == (0, "up to date\n")
    code, out, _ = await _command(empty_url, "ingest", "--source", source)
    assert (code, json.loads(out)["inserted"], out.count("\n")) == (0, 3, 1)
    code, out, err = await _command(empty_url, "ingest", "--source", f"{source}.missing")
    assert (code, out) == (4, "")
    assert "cannot be read: No such file" in err
    code, _, err = await _command("", "migrate")
    assert (code, err) == (2, "PERFCHECK_DATABASE_URL: required, but not set\n")
    code, _, err = await _command("postgresql://127.0.0.1:1/none", "migrate")
    assert code == 4
    assert err.startswith("the database: ")

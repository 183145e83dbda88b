"""`perfcheck status` against small local servers."""

import json
from pathlib import Path
from typing import Any

import pytest
from perfcheck.app import main


def test_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a stack: exit code 4 and one clear line."""
    assert main(["status", "--state", str(tmp_path)]) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"perfcheck: nothing is running on {tmp_path}: start it with `perfcheck up`"
    ]


def test_what_a_dead_supervisor_left_does_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A `run.json` whose process is gone is no running stack."""
    (tmp_path / "run.json").write_text(json.dumps({"pid": 2**22 + 1}))
    assert main(["status", "--state", str(tmp_path)]) == 4
    assert "nothing is running" in capsys.readouterr().err


def test_all_services_pass(
    serve: Any, make_bff: Any, state_file: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each service, those of BFF instances with position, lease and counters."""
    urls = [serve(make_bff()) for _ in range(4)]
    state_file.write(api=urls[0], revalidator=urls[1], bffs=urls[2:])
    assert main(["status", "--state", str(state_file.directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["pass", name] for name in ("api", "revalidator", "bff-1", "bff-2")
    ]
    assert "position 0 · lease 12.5 s · 3 pages, 1.5 MB · hits 7" in lines[2]


def test_what_does_not_pass_is_first_and_named(
    serve: Any, make_bff: Any, state_file: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service that fails a check and one that is silent: exit code 4, the reasons, JSON too."""
    sick = make_bff()
    sick.healthy = False
    bffs = [serve(sick), "http://127.0.0.1:9"]
    state_file.write(api=serve(make_bff()), revalidator=serve(make_bff()), bffs=bffs)
    assert main(["status", "--state", str(state_file.directory)]) == 4
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["FAIL", "bff-1"]
    assert "valkey: no answer" in lines[0]
    assert lines[1].split()[:2] == ["FAIL", "bff-2"]
    assert "does not answer" in lines[1]
    assert main(["status", "--json", "--state", str(state_file.directory)]) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 4
    assert [part["status"] for part in document["services"]] == ["pass", "pass", "fail", "fail"]


def test_a_run_file_of_another_shape_is_named(
    state_file: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be used is reported with its path, not as a traceback."""
    state_file.write(api="", revalidator="", bffs=[])
    path = state_file.directory / "run.json"
    facts = json.loads(path.read_text())
    del facts["urls"]
    path.write_text(json.dumps(facts))
    assert main(["status", "--state", str(state_file.directory)]) == 4
    assert f"{path} cannot be read" in capsys.readouterr().err

import json
import os
import stat
from pathlib import Path

import pytest
from perfcheck_embedded import StateDir, StateError


def test_a_new_directory_is_created_with_its_parents(tmp_path: Path) -> None:
    """Entering creates what is missing, for this user to read; existing parents stay so."""
    tmp_path.chmod(0o750)
    with StateDir(tmp_path / "a/b") as state:
        assert state.path.is_dir()
        assert stat.S_IMODE(state.path.stat().st_mode) & 0o066 == 0

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_an_existing_directory_keeps_its_mode_and_foreign_files(tmp_path: Path) -> None:
    """A directory that was there is not changed, and `fresh` drops only what is ours."""
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").write_text("three years")
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats/old").write_text("data")

    with StateDir(tmp_path, fresh=True):
        assert not (tmp_path / "nats").exists()

    assert (tmp_path / "thesis.txt").read_text() == "three years"
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_run_facts_are_replaced_in_one_step_for_this_user_only(tmp_path: Path) -> None:
    """`run.json` is 0600, holds the newest facts, and nothing is left beside it or after it."""
    with StateDir(tmp_path) as state:
        state.write_run({"pid": os.getpid(), "urls": {}})
        state.write_run({"pid": os.getpid(), "urls": {"api": "http://127.0.0.1:1"}})

        assert state.read_run() == {"pid": os.getpid(), "urls": {"api": "http://127.0.0.1:1"}}
        assert stat.S_IMODE((tmp_path / "run.json").stat().st_mode) == 0o600
        assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "logs", "run.json"]

    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "logs"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """A path that cannot be a directory is refused with path and reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot use the state directory .*file.*: .*directory"):
        StateDir(tmp_path / "file").__enter__()


def test_unreadable_run_facts_are_an_error(tmp_path: Path) -> None:
    """A damaged `run.json` is reported, not taken for a stopped stack."""
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StateError, match=r"cannot read .*run\.json"):
        StateDir(tmp_path).read_run()


def test_remains_are_only_ended_when_they_are_the_same_process(tmp_path: Path) -> None:
    """A pid that another process has by now (here: this test itself) is left alone."""
    entry = {"name": "x", "pid": os.getpid(), "identity": "old", "directory": None, "program": ""}
    (tmp_path / "processes.json").write_text(json.dumps([entry]))

    with StateDir(tmp_path):
        pass


def test_a_log_tail_is_bounded(tmp_path: Path) -> None:
    """The last lines are shown, however long the log is; none when there is no log."""
    with StateDir(tmp_path) as state:
        state.log_path("a").write_text("".join(f"line {number}\n" for number in range(100_000)))

        assert state.log_tail("a", lines=2) == "line 99998\nline 99999"
        assert state.log_tail("missing") == ""


def test_a_throw_away_directory_is_gone_afterwards(tmp_path: Path) -> None:
    """Leaving a throw-away directory deletes it."""
    with StateDir(tmp_path / "state", throw_away=True) as state:
        (state.path / "nats").mkdir()

    assert not (tmp_path / "state").exists()

"""The release under which pages are stored."""

from pathlib import Path

from perfcheck_bff.release import fingerprint


def test_any_change_of_a_file_is_another_release(tmp_path: Path) -> None:
    """A changed, renamed or added file changes the fingerprint; bytecode does not."""
    (tmp_path / "page.html").write_text("one")
    first = fingerprint(tmp_path)
    (tmp_path / "page.pyc").write_bytes(b"x")
    assert fingerprint(tmp_path) == first
    (tmp_path / "page.html").write_text("two")
    second = fingerprint(tmp_path)
    (tmp_path / "page.html").rename(tmp_path / "other.html")
    third = fingerprint(tmp_path)
    (tmp_path / "more.css").write_text("")
    assert len({first, second, third, fingerprint(tmp_path)}) == 4


def test_this_package_has_a_fingerprint() -> None:
    """The same package has the same one each time."""
    assert fingerprint() == fingerprint()

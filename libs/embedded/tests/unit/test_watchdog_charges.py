import json

from perfcheck_embedded.processes.child import describe_exit
from perfcheck_embedded.watchdog.program import Charges


def _add(pid: int, **more: object) -> bytes:
    return json.dumps({"add": pid, "level": 1, "identity": "first", **more}).encode()


def test_a_process_is_answered_for_until_it_is_dropped() -> None:
    """The watchdog's charges are those added and not dropped since."""
    charges = Charges()
    charges.note(_add(10))
    charges.note(_add(11))
    charges.note(b'{"drop": 10}')
    charges.note(b'{"drop": 99}')

    assert list(charges.processes) == [11]


def test_the_first_identity_counts() -> None:
    """A later report of the same process does not change whom the watchdog would end."""
    charges = Charges()
    charges.note(_add(10))
    charges.note(_add(10, identity="second", level=2))

    assert charges.processes[10]["identity"] == "first"
    assert charges.processes[10]["level"] == 2


def test_a_broken_line_is_ignored() -> None:
    """Half a line, of a child killed while it reported itself, does no harm."""
    charges = Charges()
    charges.note(b'{"add": 1')
    charges.note(b'{"remove": "/a"}')

    assert (charges.processes, charges.directories) == ({}, ["/a"])


def test_exits_are_described_for_people() -> None:
    """Exit codes and signals read as what they are."""
    assert [describe_exit(code) for code in (3, -9, -99)] == [
        "exit code 3",
        "killed by SIGKILL",
        "killed by signal 99",
    ]

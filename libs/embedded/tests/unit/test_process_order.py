import pytest
from perfcheck_embedded import Process, start_levels


def _process(name: str, *needs: str) -> Process:
    return Process(name=name, argv=["true"], needs=needs)


def test_levels_follow_needs_transitively() -> None:
    """A process stands above all it needs, through one-shots too; the rest keep their order."""
    processes = [
        _process("bff", "migrate", "valkey"),
        _process("valkey"),
        _process("migrate", "postgres"),
        _process("postgres"),
        _process("monitor"),
    ]

    assert start_levels(processes) == [["valkey", "postgres", "monitor"], ["migrate"], ["bff"]]


def test_nothing_has_no_levels() -> None:
    """No processes, no levels."""
    assert start_levels([]) == []


@pytest.mark.parametrize(
    ("processes", "complaint"),
    [
        ([_process("a", "b"), _process("b", "a")], "in a circle: a -> b -> a"),
        ([_process("a", "a")], "in a circle: a -> a"),
        ([_process("a", "ghost")], "a needs ghost, which is not among the processes"),
        ([_process("a"), _process("a")], "two processes have the same name"),
    ],
)
def test_impossible_needs_are_refused(processes: list[Process], complaint: str) -> None:
    """A circle, an unknown name and a name used twice are refused, naming the culprit."""
    with pytest.raises(ValueError, match=complaint):
        start_levels(processes)

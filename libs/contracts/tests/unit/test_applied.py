from perfcheck_contracts import INSTANCES_NAMED_MAX, INSTANCES_TIMED_MAX, Applied


def test_times_are_summed_up() -> None:
    """The median of two instances is the faster one's time, and each is named in order."""
    applied = Applied.of({"b": 30.00049, "a": 10.0}, missing=["d", "c"])
    assert applied == Applied(
        instances=2,
        min_ms=10.0,
        p50_ms=10.0,
        max_ms=30.0,
        missing=["c", "d"],
        each={"a": 10.0, "b": 30.0},
    )


def test_names_are_bounded() -> None:
    """However many instances are late or gone, only so many are named."""
    names = [f"bff-{number:03}" for number in range(2 * INSTANCES_NAMED_MAX)]
    applied = Applied.of({}, vanished=reversed(names), missing=reversed(names))
    assert applied.vanished == applied.missing == names[:INSTANCES_NAMED_MAX]
    assert (applied.instances, applied.min_ms, applied.p50_ms, applied.max_ms) == (0, *[None] * 3)


def test_times_of_many_are_left_out_of_what_is_kept() -> None:
    """With a bound, more instances than that are told as a distribution only, and none as none."""
    times_ms = {str(number): 1.0 for number in range(INSTANCES_TIMED_MAX + 1)}
    assert Applied.of(times_ms, timed_max=INSTANCES_TIMED_MAX).each is None
    assert Applied.of(times_ms).each == times_ms
    assert Applied.of({}, timed_max=INSTANCES_TIMED_MAX).each is None
    assert Applied.of({}).each == {}

import pytest
from asgi_isr.coherence import Progress as Reach
from perfcheck_api.invalidations.model import applied_since


def test_two_instances_have_the_faster_ones_time_as_median() -> None:
    """The api and the revalidator say the same of two instances: the nearest rank."""
    reach = Reach({"b": 5.03, "a": 5.01}, (), (), everywhere=True)
    applied = applied_since(reach, 5.0, unknown="")
    assert applied.p50_ms == applied.min_ms == pytest.approx(10)
    assert applied.max_ms == pytest.approx(30)

from litestar import Litestar
from litestar.testing import AsyncTestClient
from perfcheck_chassis.http import metrics_route
from prometheus_client import CollectorRegistry, Counter


async def test_metrics_are_shown_as_text() -> None:
    """What the registry holds when it is asked, in Prometheus' text format, and never cached."""
    registry = CollectorRegistry()
    sold = Counter("sold", "Things sold.", registry=registry)
    async with AsyncTestClient(Litestar([metrics_route(registry)])) as client:
        before = await client.get("/metrics")
        sold.inc(3)
        after = await client.get("/metrics")
    assert "sold_total 0.0" in before.text
    assert "sold_total 3.0" in after.text
    assert after.headers["content-type"].startswith("text/plain; version=")
    assert after.headers["cache-control"] == "no-store"


async def test_two_registries_do_not_mix() -> None:
    """Each route shows its own registry and nothing of the process besides."""
    one, two = CollectorRegistry(), CollectorRegistry()
    Counter("one", "Of the first.", registry=one)
    Counter("two", "Of the second.", registry=two)
    async with AsyncTestClient(Litestar([metrics_route(one)])) as client:
        text = (await client.get("/metrics")).text
    assert "one_total" in text
    assert "two_total" not in text
    assert "python_info" not in text

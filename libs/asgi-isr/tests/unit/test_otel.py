"""What the cache counts, as OpenTelemetry's SDK collects it."""

from typing import Any

import msgspec
import pytest
from asgi_isr import PageCache
from asgi_isr.counters import Counters
from asgi_isr.otel import INSTRUMENTS, OUTCOME, publish
from asgi_isr.testing import request
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

PAGE = "/page"


class Collected:
    """What a reader collects from one cache."""

    def __init__(self, cache: Any) -> None:
        self._reader = InMemoryMetricReader()
        provider = MeterProvider([self._reader], shutdown_on_exit=False)
        publish(cache, provider.get_meter("test"))

    def metrics(self) -> dict[str, Any]:
        """Collect now; return the metrics by name."""
        data = self._reader.get_metrics_data()
        assert data is not None
        (resource,) = data.resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}

    def value(self, name: str) -> Any:
        """Return the value of a metric that has no attributes."""
        (point,) = self.metrics()[name].data.data_points
        return point.value

    def outcomes(self) -> dict[str, int]:
        """Return the requests of each outcome that had one."""
        points = self.metrics()["asgi_isr.requests"].data.data_points
        return {point.attributes[OUTCOME]: point.value for point in points if point.value}


async def test_every_request_has_one_outcome(site: Any) -> None:
    """A miss, two hits, one of them a 304, and a bypass are told apart and add up."""
    app = await site.instance(bypass=("/api/",))
    collected = Collected(app.cache)
    etag = (await request(app, PAGE)).headers["etag"]
    await request(app, PAGE)
    await request(app, PAGE, headers={"If-None-Match": etag})
    await request(app, "/api/x")
    assert collected.outcomes() == {"miss": 1, "hit": 1, "not_modified": 1, "bypass": 1}


async def test_gauges_follow_the_cache(site: Any) -> None:
    """Pages, bytes, tags, position and lease are those at the moment of collecting."""
    app = await site.instance(lease_s=30)
    collected = Collected(app.cache)
    await request(app, PAGE)
    seq = await site.publish("a", "b")
    site.clock.advance(10)
    assert collected.value("asgi_isr.local.pages") == 1
    assert collected.value("asgi_isr.local.size") == app.cache.session.local.bytes > 1000
    assert collected.value("asgi_isr.index.tags") == 2
    assert collected.value("asgi_isr.log.position") == seq
    assert collected.value("asgi_isr.lease.remaining") == pytest.approx(20, abs=0.01)
    site.clock.advance(100)
    assert collected.value("asgi_isr.lease.remaining") == 0


async def test_renders_and_events_are_counted(site: Any) -> None:
    """What happens between two collections is the difference of the sums."""
    app = await site.instance()
    collected = Collected(app.cache)
    before = collected.value("asgi_isr.events")
    await request(app, PAGE)
    await site.publish(PAGE)
    await request(app, PAGE)
    assert collected.value("asgi_isr.renders") == 2
    assert collected.value("asgi_isr.invalidated") == 1
    assert collected.value("asgi_isr.events") - before == 1


async def test_units_and_kinds_are_those_declared(site: Any) -> None:
    """Every instrument comes out with its unit and description; counters are monotonic."""
    metrics = Collected((await site.instance()).cache).metrics()
    assert metrics.keys() == INSTRUMENTS.keys()
    for name, instrument in INSTRUMENTS.items():
        found = metrics[name]
        assert (found.unit, found.description) == (instrument.unit, instrument.description)
        assert getattr(found.data, "is_monotonic", None) is {
            "counter": True, "up_down_counter": False, "gauge": None,
        }[instrument.kind]  # fmt: skip


async def test_no_position_before_the_first_event(site: Any) -> None:
    """An instance that has not reached its log reports no position instead of a wrong one."""
    site.log.down = True
    metrics = Collected(PageCache(log=site.log, clock=site.clock)).metrics()
    assert "asgi_isr.log.position" not in metrics


async def test_every_counter_is_published(site: Any) -> None:
    """A counter that the engine has and nobody publishes is found here."""
    status = (await site.instance()).cache.status()
    names = Counters.__struct_fields__
    untold = []
    for name in names:
        counters = dict.fromkeys(names, 0) | {name: 7}
        read = [
            observation.value
            for instrument in INSTRUMENTS.values()
            for observation in instrument.read(msgspec.structs.replace(status, counters=counters))
        ]
        if 7 not in read:
            untold.append(name)
    assert not untold, f"asgi_isr.otel publishes no {', '.join(untold)}: add it to INSTRUMENTS"

"""For OpenTelemetry: the counters and gauges of a `PageCache` as observable instruments.

    publish(cache)  # once, after the meter provider was set

They are read when a reader collects, so a request costs nothing more. Names and units are those of
`INSTRUMENTS`; `asgi_isr.requests` has the attribute `asgi_isr.outcome`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter

from asgi_isr.engine.cache import PageCache
from asgi_isr.engine.status import InstanceStatus

__all__ = ["INSTRUMENTS", "OUTCOME", "Instrument", "publish"]

OUTCOME = "asgi_isr.outcome"

_Read = Callable[[InstanceStatus], Sequence[Observation]]


class Instrument(NamedTuple):
    """One instrument: its kind, its unit (UCUM), what it counts, and how to read it.

    `kind` is `counter` (only grows), `up_down_counter` (adds up over instances) or `gauge` (does
    not add up). `read` takes what `PageCache.status()` returned.
    """

    kind: str
    unit: str
    description: str
    read: _Read


# Counters -> outcome. A hit answered with 304 is counted in both, so it is taken off the hits.
_OUTCOMES = {
    "hits": "hit",
    "not_modified": "not_modified",
    "stale": "stale",
    "misses": "miss",
    "collapsed": "collapsed",
    "bypassed": "bypass",
    "unstorable": "unstorable",
}


def _requests(status: InstanceStatus) -> list[Observation]:
    counters = status.counters.copy()
    counters["hits"] -= counters["not_modified"]
    return [Observation(counters[name], {OUTCOME: outcome}) for name, outcome in _OUTCOMES.items()]


def _counter(name: str, unit: str, description: str) -> Instrument:
    return Instrument(
        "counter", unit, description, lambda status: [Observation(status.counters[name])]
    )


def _gauge(
    kind: str, unit: str, description: str, of: Callable[[InstanceStatus], float | None]
) -> Instrument:
    def read(status: InstanceStatus) -> list[Observation]:
        value = of(status)
        return [] if value is None else [Observation(value)]

    return Instrument(kind, unit, description, read)


INSTRUMENTS: dict[str, Instrument] = {
    "asgi_isr.requests": Instrument(
        "counter", "{request}", "Requests answered, by how the answer came about", _requests
    ),
    "asgi_isr.shared_hits": _counter("shared_hits", "{page}", "Pages taken from the shared store"),
    "asgi_isr.renders": _counter("renders", "{render}", "Renders started"),
    "asgi_isr.refreshes": _counter("refreshes", "{render}", "Background refreshes started"),
    "asgi_isr.overtaken": _counter(
        "overtaken", "{render}", "Renders that an invalidation overtook; not kept"
    ),
    "asgi_isr.validated": _counter(
        "validated", "{page}", "Stale pages that the app confirmed with 304"
    ),
    "asgi_isr.errors": _counter("errors", "{render}", "Renders that failed"),
    "asgi_isr.evicted": _counter("evicted", "{page}", "Pages evicted from this process"),
    "asgi_isr.invalidated": _counter(
        "invalidated", "{page}", "Pages in this process that an event made unusable or stale"
    ),
    "asgi_isr.unsafe": _counter(
        "unsafe", "{request}", "Unsafe requests that succeeded, and so invalidated"
    ),
    "asgi_isr.unannounced": _counter(
        "unannounced", "{request}", "Of them, those that other instances do not know of"
    ),
    "asgi_isr.unreported": _counter(
        "unreported", "{report}", "Reports of the position that did not leave"
    ),
    "asgi_isr.awaited": _counter(
        "awaited", "{request}", "Requests that came before word of their client's own write"
    ),
    "asgi_isr.unreached": _counter(
        "unreached",
        "{request}",
        "Of them, those to which it did not come in time; the app answered",
    ),
    "asgi_isr.corrupt": _counter("corrupt", "{page}", "Shared pages that could not be read"),
    "asgi_isr.store_failures": _counter("store_failures", "{call}", "Failed calls of the store"),
    "asgi_isr.events": _counter("events", "{event}", "Events consumed from the log, with marks"),
    "asgi_isr.unreadable": _counter(
        "unreadable",
        "{event}",
        "Events that counted as everything, or had names that no page can have",
    ),
    "asgi_isr.rejoins": _counter("rejoins", "{rejoin}", "Times that everything was dropped"),
    "asgi_isr.log_failures": _counter("log_failures", "{failure}", "Failures of the log"),
    "asgi_isr.lease_failures": _counter(
        "lease_failures", "{failure}", "Renewals of the lease that failed"
    ),
    "asgi_isr.local.pages": _gauge(
        "up_down_counter", "{page}", "Pages in this process", lambda status: status.local.pages
    ),
    "asgi_isr.local.size": _gauge(
        "up_down_counter", "By", "Bytes of pages in this process", lambda status: status.local.bytes
    ),
    "asgi_isr.index.tags": _gauge(
        "gauge", "{tag}", "Tags in the index", lambda status: status.tags
    ),
    "asgi_isr.log.position": _gauge(
        "gauge", "{event}", "Sequence of the last event consumed", lambda status: status.position
    ),
    "asgi_isr.lease.remaining": _gauge(
        "gauge",
        "s",
        "How long pages may still count as fresh",
        lambda status: status.lease_remaining_s,
    ),
}


def publish(cache: PageCache, meter: Meter | None = None) -> None:
    """Make the instruments of `cache` on `meter` (default: the global one named `asgi_isr`).

    Call it once for each meter: OpenTelemetry keeps the first of two instruments with one name.
    """
    meter = meter or get_meter("asgi_isr")
    create = {
        "counter": meter.create_observable_counter,
        "up_down_counter": meter.create_observable_up_down_counter,
        "gauge": meter.create_observable_gauge,
    }
    for name, instrument in INSTRUMENTS.items():
        create[instrument.kind](
            name,
            callbacks=[_callback(cache, instrument.read)],
            unit=instrument.unit,
            description=instrument.description,
        )


def _callback(cache: PageCache, read: _Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: read(cache.status())

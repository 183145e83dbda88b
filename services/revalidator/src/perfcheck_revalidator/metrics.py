"""What a replica measures, for Prometheus; names stand here once."""

from prometheus_client import CollectorRegistry, Counter, Histogram

__all__ = ["Metrics"]

_EVENT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 30)
_PURGE_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)
_METRIC_PREFIX = "perfcheck_revalidator"


class Metrics:
    """Counters and lag histograms of one process, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()

        def lag(name: str, text: str, buckets: tuple[float, ...] = _EVENT_BUCKETS_S) -> Histogram:
            return Histogram(
                f"{_METRIC_PREFIX}_{name}_seconds", text, buckets=buckets, registry=registry
            )

        def count(name: str, text: str) -> Counter:
            return Counter(f"{_METRIC_PREFIX}_{name}", text, registry=registry)

        self.applied = lag("applied", "From publication until the last instance had applied it")
        self.receipt = lag("receipt", "From publication until the receipt was published")
        self.cdn = lag("cdn", "From a purge's submission to its completion", _PURGE_BUCKETS_S)
        self.warm = lag("warm", "One round of rendering popular pages again")
        self.events = count("events", "Events whose work was done")
        self.redeliveries = count("redeliveries", "Events that were handed out again")
        self.dead_letters = count("dead_letters", "Events that became dead letters")
        self.failures = count("failures", "Attempts at an event that failed and are repeated")
        self.warmed = count("warmed_pages", "Popular pages rendered again")
        self.warm_failed = count("warm_failed_pages", "Popular pages that could not be rendered")
        self.warm_left = count("warm_left_pages", "Popular pages that time did not allow")

"""What `perfcheck check` measures: each metric once, with title, unit and the side of its limit."""

import enum

import msgspec


class Side(enum.Enum):
    """On which side of its limit a value is good."""

    AT_MOST = "max"
    AT_LEAST = "min"


class Group(enum.Enum):
    """Metrics that come out of one measurement, and so fail together or are left out together."""

    PAGES = "pages"
    CPU = "cpu"
    SERVICE = "service"
    INVALIDATION = "invalidation"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """How a metric is shown and judged."""

    title: str
    unit: str
    side: Side
    group: Group


def _metric(group: Group, title: str, unit: str, side: Side = Side.AT_MOST) -> Metric:
    return Metric(title=title, unit=unit, side=side, group=group)


METRICS: dict[str, Metric] = {
    "pages_p50_ms": _metric(Group.PAGES, "cached page p50", "ms"),
    "pages_p99_ms": _metric(Group.PAGES, "cached page p99", "ms"),
    "pages_per_s_per_task": _metric(
        Group.PAGES, "cached pages per task", "requests/s", Side.AT_LEAST
    ),
    "hit_rate": _metric(Group.PAGES, "cache hit rate", "%", Side.AT_LEAST),
    "error_rate": _metric(Group.PAGES, "errors", "%"),
    "cpu_us_per_request": _metric(Group.CPU, "BFF CPU per request", "µs"),
    "service_hop_p50_ms": _metric(Group.SERVICE, "BFF→API hop p50", "ms"),
    "service_hop_p99_ms": _metric(Group.SERVICE, "BFF→API hop p99", "ms"),
    "service_call_p50_ms": _metric(Group.SERVICE, "BFF→API call p50", "ms"),
    "service_call_p99_ms": _metric(Group.SERVICE, "BFF→API call p99", "ms"),
    "invalidation_p50_ms": _metric(Group.INVALIDATION, "invalidation everywhere p50", "ms"),
    "invalidation_max_ms": _metric(Group.INVALIDATION, "invalidation everywhere max", "ms"),
}
"""All metrics in the order in which a table shows those of one verdict. Ratios are fractions
(0.95), shown in %."""


def of_group(group: Group) -> list[str]:
    """Return the names of the metrics of one group."""
    return [name for name, metric in METRICS.items() if metric.group is group]

"""`GET /metrics`: the numbers of one process in Prometheus' text format, for whoever scrapes it."""

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from perfcheck_chassis.http.answers import NEVER_STORED

__all__ = ["metrics_route"]


def metrics_route(registry: CollectorRegistry) -> HTTPRouteHandler:
    """Return the handler of `/metrics`, which shows what is in `registry`.

    The text is made in a thread: a hundred series take 18 ms, for which the event loop would stop.
    Keep them few all the same, the thread shares the interpreter with the loop.
    """

    @get("/metrics", include_in_schema=False, sync_to_thread=True)
    def metrics() -> Response[bytes]:
        return Response(
            generate_latest(registry),
            media_type=CONTENT_TYPE_LATEST,
            headers=dict(NEVER_STORED),
        )

    return metrics

"""What one call from a BFF to the API costs: pages rendered on request, their `Server-Timing` read.

`api;dur=` is the time that the BFF waited for the API, `hop;dur=` that time without the API's own
work: network, HTTP and scheduling.
"""

from collections.abc import Sequence

from perfcheck.check.cache_status import durations_ms
from perfcheck.check.plan import Plan
from perfcheck.exits import TargetError
from perfcheck.http import Http
from perfcheck.judge.config import Service
from perfcheck.judge.statistics import median_of_rounds
from perfcheck.judge.verdicts import Measurement

_FIGURES = {
    "service_hop_p50_ms": ("hop", 0.5),
    "service_hop_p99_ms": ("hop", 0.99),
    "service_call_p50_ms": ("api", 0.5),
    "service_call_p99_ms": ("api", 0.99),
}


async def measure(
    http: Http, plan: Plan, instances: Sequence[str], settings: Service
) -> list[Measurement]:
    """Ask the instances in turn for `/ssr/days/…` pages, one at a time; return the group `service`.

    One at a time, because the load of the machine is measured elsewhere: this is the cost of a
    call.

    Raises:
        TargetError: when a page does not answer 200, or names no such times.

    """
    rounds: dict[str, list[list[float]]] = {"hop": [], "api": []}
    turn = 0
    for _ in range(settings.rounds):
        for series in rounds.values():
            series.append([])
        for _ in range(settings.requests_per_round):
            instance = instances[turn % len(instances)]
            day = plan.days[turn // len(instances) % len(plan.days)]
            turn += 1
            url = f"{instance}/ssr/days/{day}"
            reply = (await http.get(url, timeout_s=settings.timeout_s)).expect(200)
            found = durations_ms(reply.headers.get("server-timing"))
            for name, series in rounds.items():
                if name not in found:
                    raise TargetError(f"{reply.url} has no `{name};dur=` in Server-Timing")
                series[-1].append(found[name])
    return [
        Measurement(
            metric=metric,
            value=median_of_rounds(rounds[name], share),
            samples=turn,
            detail=f"median of {settings.rounds} rounds",
        )
        for metric, (name, share) in _FIGURES.items()
    ]

"""Whether refreshing early by chance (XFetch) gains anything where stale pages may be served.

A simulation of one page, no measurement: requests come at random, one render at a time, as the
engine does it. XFetch: Vattani, Chierichetti and Lowenstein, Optimal Probabilistic Cache Stampede
Prevention, VLDB 2015; its beta is 1.
"""

import math
import random
from typing import NamedTuple

from benchmarks.report import Report, Value, rounded

TTL_S = 60.0
SWR_S = 60.0
RENDER_S = 0.2
REQUESTS = 200_000
RATES_PER_S = (100.0, 1.0, 1 / 60, 1 / 600)


class Policy(NamedTuple):
    """How a page is refreshed: `swr_s` served stale meanwhile, `early` by chance before its end."""

    name: str
    swr_s: float
    early: bool


POLICIES = (
    Policy("wait at the end", 0.0, early=False),
    Policy("XFetch", 0.0, early=True),
    Policy("stale-while-revalidate", SWR_S, early=False),
    Policy("both", SWR_S, early=True),
)


def _simulate(policy: Policy, rate_per_s: float, requests: int, seed: int) -> dict[str, Value]:
    rng = random.Random(seed)  # noqa: S311  the same run every time
    now, expires, done = 0.0, TTL_S, math.inf  # `done` is when the running render ends
    waited = stale = renders = 0
    for _ in range(requests):
        now += rng.expovariate(rate_per_s)
        if now >= done:
            expires, done = done + TTL_S, math.inf
        ahead_s = -RENDER_S * math.log(1.0 - rng.random()) if policy.early else 0.0
        if now + ahead_s >= expires and done == math.inf:
            done = now + RENDER_S
            renders += 1
        if now >= expires + policy.swr_s:
            waited += 1
        elif now >= expires:
            stale += 1
    return {
        "requests": f"{rate_per_s:g}/s" if rate_per_s >= 1 else f"1 in {1 / rate_per_s:g} s",
        "policy": policy.name,
        "wait, %": rounded(waited / requests * 100),
        "stale, %": rounded(stale / requests * 100),
        "renders/h": rounded(renders / now * 3600),
    }


def measure(*, quick: bool) -> list[Report]:
    """Simulate each policy at each rate of requests."""
    requests = 1000 if quick else REQUESTS
    rows = [
        _simulate(policy, rate_per_s, requests, seed=1)
        for rate_per_s in RATES_PER_S
        for policy in POLICIES
    ]
    notes = (
        f"a page that lives {TTL_S:g} s, may be {SWR_S:g} s stale, rendered in {RENDER_S:g} s",
        f"{requests:,} requests at random a row; one render at a time",
    )
    return [Report("early_refresh: requests that wait or get a stale page", rows, notes)]

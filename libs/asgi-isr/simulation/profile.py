"""What one schedule is about, drawn once: few kinds of trouble at a time find more than all."""

import random
from typing import NamedTuple

LEASE_S = 1.5
RENDER_TIMEOUT_S = 0.8
LOCK_TTL_S = 0.25
LOCK_WAIT_S = 0.3
CONSISTENCY_WAIT_S = 0.1
ANSWER_S_MAX = 12.0  # four looks, each with the fleet's lock and a render, then the app itself

POLICIES = (
    "max-age=60",
    "max-age=60, stale-while-revalidate=60",
    "max-age=2, stale-while-revalidate=4",
    "max-age=1, stale-if-error=30",
    "max-age=2, stale-while-revalidate=1, stale-if-error=30",
    "max-age=0, stale-while-revalidate=5",
    "max-age=1, must-revalidate",
    "no-cache",
    "max-age=0",
    "public, max-age=60",
    "s-maxage=60, stale-while-revalidate=60",
)
POLICY_WEIGHTS = (6, 5, 3, 3, 2, 1, 1, 3, 2, 1, 1)
PLAIN = 7  # of them: those that half of the schedules know
# Of pages of some 1,500 bytes. Each may take an eighth: there is room for eight of them, or none.
LOCAL_BYTES = (*(3 * (64 * 1024 * 1024,)), 14_000, 4_000)
CROWDED_BYTES = 14_000


class Profile(NamedTuple):
    """How a schedule is made."""

    ordered: bool  # callbacks run in the order in which they became ready
    instances: int
    steps: int
    pages: tuple[int, ...]  # weights by page: some schedules are about one page
    changes: tuple[int, ...]  # weights by kind of change
    soft: float  # share of soft events
    index_tags_max: int
    messages_max: int
    pause_s_max: float
    render_s_max: float
    troubles: tuple[int, ...]  # numbers of the kinds that may happen
    failures: float  # share of renders that fail
    policies: tuple[str, ...]
    local_bytes_max: int
    queries: int  # different queries of each page, which crowd a small cache
    varying: tuple[bool, ...]  # by page: whether it varies at first
    users: float  # share of requests with credentials
    unsafe: float  # share of requests that change the page
    writes: float  # share of requests of clients that have written
    names_at_once: int  # of an event, until requests run again
    pages_at_once: int  # marked; with none each is judged by the index when it is used


def draw(rng: random.Random, *, troubles: int, changes: tuple[int, ...], pages: int) -> Profile:
    """Draw the profile of one schedule."""
    plain = rng.random() < 0.5
    local_bytes_max = LOCAL_BYTES[0] if plain else rng.choice(LOCAL_BYTES)
    varying = 0.0 if plain else rng.choice((0.0, 0.5, 1.0))
    policies = POLICIES[:PLAIN] if plain else POLICIES
    share = rng.choice((0.15, 0.3, 0.5))
    return Profile(
        ordered=rng.random() < 0.5,
        instances=rng.choice((3, 3, 3, 4)),
        steps=rng.randint(40, 70),
        pages=rng.choice(((3, 2, 2, 1), (8, 1, 1, 1), (1, 8, 0, 0))),
        changes=tuple(weight * rng.choice((0, 1, 1, 3)) for weight in changes[:-1]) + changes[-1:],
        soft=rng.choice((0.0, 0.2, 0.5)),
        index_tags_max=rng.choice((2, 3, 5, 100)),
        messages_max=rng.choice((8, 20, 1_000)),
        pause_s_max=rng.choice((0.05, 0.2, 0.6)),
        render_s_max=rng.choice((0.05, 0.15, 0.3)),
        troubles=tuple(kind for kind in range(troubles) if rng.random() < share),
        failures=rng.choice((0.0, 0.05, 0.2)),
        policies=tuple(
            rng.choices(policies, POLICY_WEIGHTS[: len(policies)], k=rng.choice((1, 2, 4)))
        ),
        local_bytes_max=local_bytes_max,
        queries=6 if local_bytes_max == CROWDED_BYTES else 0,
        varying=tuple(rng.random() < varying for _ in range(pages)),
        users=0.0 if plain else rng.choice((0.0, 0.2)),
        unsafe=0.0 if plain else rng.choice((0.0, 0.05, 0.15)),
        writes=rng.choice((0.0, 0.0, 0.3)),
        names_at_once=rng.choice((1, 1, 256)),
        pages_at_once=rng.choice((0, 1, 64)),
    )

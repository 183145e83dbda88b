"""The live set: which instances there are, and how far each has applied the log (rule 11).

An instance says so in a `Report`. It registers with one, acknowledged by a stream that keeps the
last of each instance, before each renewal of its lease: so whoever may serve a page as fresh has
registered within `lease_s`. In between it reports each move of its position, as a plain message.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

__all__ = [
    "INSTANCES_STREAM",
    "INSTANCES_SUBJECT_PREFIX",
    "POPULAR_SUBJECT_PREFIX",
    "POSITIONS_SUBJECT_PREFIX",
    "Applied",
    "PopularPage",
    "PopularPages",
    "Reached",
    "Report",
]

INSTANCES_STREAM = "CACHE_INSTANCES"  # keeps the last message of each subject
INSTANCES_SUBJECT_PREFIX = "cache.instances.v1"  # + .<instance>: registrations
POSITIONS_SUBJECT_PREFIX = "cache.positions.v1"  # + .<instance>: reports in between
POPULAR_SUBJECT_PREFIX = "cache.popular.v1"  # + .<instance>: pages that an event hit


class Reached(NamedTuple):
    """How far a source's events are applied; source "" means the position in the log."""

    source: str
    number: int


class Applied(NamedTuple):
    """Which instances have applied something.

    `times`: instance to the observer's monotonic seconds when it first reported it. `missing` are
    live and have not; `vanished` were live when asked, and their lease and margin ended since.
    `everywhere`: the live set is known completely and nobody is missing.
    """

    times: Mapping[str, float]
    missing: tuple[str, ...]
    vanished: tuple[str, ...]
    everywhere: bool


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One instance's word: it has applied the log up to `position`.

    `sequences` names for each source that counts its events the number up to which all of them are
    applied (header `Cache-Sequence`). `leaving` is an instance's last word: it answers nobody more.
    """

    version: int = 1
    instance: str
    position: int
    lease_s: float
    sequences: Mapping[str, int] = {}
    leaving: bool = False


class PopularPage(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A page by the path and query that ask for it, and how often this instance answered with it."""

    path: str
    hits: int


class PopularPages(msgspec.Struct, frozen=True, kw_only=True):
    """Pages that the event at `seq` made old at one instance, the most popular first."""

    version: int = 1
    instance: str
    seq: int
    pages: list[PopularPage]

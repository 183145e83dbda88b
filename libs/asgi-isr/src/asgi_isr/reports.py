"""What instances say of themselves, as it stands on the wire (rule 11 of the coherence protocol).

An instance registers with a `Report`, acknowledged by a stream that keeps the last one of each
instance. In between it reports each move of its position in a plain message, which may be lost, and
names in another one the popular pages that an event made old.
"""

from collections.abc import Mapping

import msgspec

__all__ = [
    "INSTANCES_STREAM",
    "INSTANCES_SUBJECT_PREFIX",
    "INSTANCE_CHARS_MAX",
    "LEASE_S_MAX",
    "POPULAR_BYTES_MAX",
    "POPULAR_PAGES_MAX",
    "POPULAR_PATH_CHARS_MAX",
    "POPULAR_SUBJECT_PREFIX",
    "POSITIONS_SUBJECT_PREFIX",
    "REPORT_BYTES_MAX",
    "SOURCES_MAX",
    "PopularPage",
    "PopularPages",
    "Report",
]

INSTANCES_STREAM = "CACHE_INSTANCES"  # keeps the last message of each subject
INSTANCES_SUBJECT_PREFIX = "cache.instances.v1"  # + .<instance>: registrations
POSITIONS_SUBJECT_PREFIX = "cache.positions.v1"  # + .<instance>: reports in between
POPULAR_SUBJECT_PREFIX = "cache.popular.v1"  # + .<instance>: pages that an event hit

INSTANCE_CHARS_MAX = 128
LEASE_S_MAX = 3600.0  # of one report; one that names more counts as this
SOURCES_MAX = 256  # of one report; followers keep no more
REPORT_BYTES_MAX = 64 * 1024
POPULAR_PAGES_MAX = 50  # named of one event
POPULAR_PATH_CHARS_MAX = 1024  # with its query; a longer one is not named
POPULAR_BYTES_MAX = 64 * 1024


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One instance's word: it has applied the log up to `position`.

    `source_seqs` (on the wire `sequences`) names for each source that counts its events the number
    up to which all of them are applied (header `Cache-Sequence`). `report_seq` (`number`) counts an
    instance's reports: one that comes late is known by it. `leaving` is an instance's last word: it
    calls no page fresh any more.
    """

    version: int = 1
    instance: str
    position: int
    lease_s: float
    report_seq: int = msgspec.field(default=0, name="number")
    source_seqs: Mapping[str, int] = msgspec.field(default_factory=dict, name="sequences")
    leaving: bool = False


class PopularPage(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A page by the path and query that ask for it, and how often it was the answer here."""

    path: str
    hits: int


class PopularPages(msgspec.Struct, frozen=True, kw_only=True):
    """Pages that the event at `seq` made old at one instance, the most popular first."""

    version: int = 1
    instance: str
    seq: int
    pages: list[PopularPage]

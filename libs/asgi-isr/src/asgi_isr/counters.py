"""What a page cache counts."""

import msgspec


class Counters(msgspec.Struct):
    """What the cache has done since it was made, over all its openings.

    Each request counts once in the first group; the follower counts in the last.
    """

    hits: int = 0
    not_modified: int = 0  # hits answered with 304; counted in hits as well
    stale: int = 0  # served while a refresh runs, or on error
    misses: int = 0  # rendered (or taken from the shared store) for this request
    collapsed: int = 0  # misses that joined a render under way
    bypassed: int = 0
    unstorable: int = 0
    unsafe: int = 0  # successful unsafe requests, each of which invalidated its path
    unannounced: int = 0  # of them, those that the log did not take: other instances do not know
    unreported: int = 0  # reports of the position that did not leave; the next one says all
    awaited: int = 0  # requests that came before word of their client's own write
    unreached: int = 0  # of them, those to which it did not come in time; counted in bypassed

    shared_hits: int = 0
    validated: int = 0  # stale pages that the app confirmed (304)
    renders: int = 0
    refreshes: int = 0
    overtaken: int = 0  # renders that an invalidation overtook; not kept
    errors: int = 0  # renders that failed
    evicted: int = 0
    invalidated: int = 0  # local pages that an event made unusable or stale
    corrupt: int = 0  # shared entries that could not be read
    store_failures: int = 0

    events: int = 0  # messages consumed from the log, marks included
    unreadable: int = 0  # messages that counted as everything, or had names that no page can have
    rejoins: int = 0
    log_failures: int = 0
    lease_failures: int = 0

    def counted(self) -> dict[str, int]:
        """Return every count by its name, as it is now."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

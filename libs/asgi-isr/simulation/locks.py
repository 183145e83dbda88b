"""Who holds the fleet's render locks, as the instances were told, whatever the store thinks."""

import re

from asgi_isr.ports import Clock

from simulation.pages import HOST

_PATH = re.compile(re.escape(HOST.decode()) + r"(/[a-z/]*)")


class FleetLocks:
    """The end of each grant, by path, key and instance.

    A page that varies has a lock for each value. With owner tokens no two grants of one lock
    overlap.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._grants: dict[str, dict[str, dict[str, float]]] = {}

    def granted(self, key: str, instance: str, ttl_s: float) -> None:
        """Note that an instance got a lock."""
        grants = self._grants.setdefault(_path(key), {}).setdefault(key, {})
        grants[instance] = self._clock.monotonic() + ttl_s

    def given_back(self, key: str, instance: str) -> None:
        """Note that an instance gave its lock back."""
        self._grants.get(_path(key), {}).get(key, {}).pop(instance, None)

    def lost(self) -> None:
        """Note that the store lost all locks."""
        self._grants.clear()

    def holders(self, path: str) -> list[list[str]]:
        """Return the instances that hold a lock of this page now, for each lock that is held."""
        now = self._clock.monotonic()
        held = [
            [instance for instance, ends in grants.items() if ends > now]
            for grants in self._grants.get(path, {}).values()
        ]
        return [holders for holders in held if holders]


def _path(key: str) -> str:
    found = _PATH.search(key)
    if found is None:
        raise ValueError(f"{key!r} names no page of the simulated site")
    return found.group(1)

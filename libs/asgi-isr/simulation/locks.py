"""Who holds the fleet's render locks, as the instances were told, whatever the store thinks."""

import re

from asgi_isr.ports import Clock

from simulation.pages import HOST

_PATH = re.compile(re.escape(HOST.decode()) + r"(/[a-z/]*)")


class FleetLocks:
    """The end of each grant, by path and instance. With owner tokens no two of one path overlap."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._grants: dict[str, dict[str, float]] = {}

    def granted(self, key: str, instance: str, ttl_s: float) -> None:
        """Note that an instance got a lock."""
        grants = self._grants.setdefault(_path(key), {})
        grants[instance] = self._clock.monotonic() + ttl_s

    def given_back(self, key: str, instance: str) -> None:
        """Note that an instance gave its lock back."""
        self._grants.get(_path(key), {}).pop(instance, None)

    def lost(self) -> None:
        """Note that the store lost all locks."""
        self._grants.clear()

    def holders(self, path: str) -> list[str]:
        """Return the instances that hold the lock of this page now."""
        now = self._clock.monotonic()
        return [instance for instance, ends in self._grants.get(path, {}).items() if ends > now]


def _path(key: str) -> str:
    found = _PATH.search(key)
    if found is None:
        raise ValueError(f"{key!r} names no page of the simulated site")
    return found.group(1)

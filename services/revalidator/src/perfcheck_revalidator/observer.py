"""What the revalidator asks of the live set: who has applied the log up to where (rule 11)."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

__all__ = ["Applied", "Observer", "Reached"]


class Reached(NamedTuple):
    """A number of a source; `source` "" means the position in the log."""

    source: str
    number: int


class Applied(NamedTuple):
    """Who has applied it: `times` in the observer's monotonic seconds, by instance.

    `missing` instances are live and have not reported it, `vanished` ones were live when asked and
    their lease and margin have ended meanwhile. `everywhere`: the live set is known completely and
    nobody is missing.
    """

    times: Mapping[str, float]
    missing: tuple[str, ...]
    vanished: tuple[str, ...]
    everywhere: bool


class Observer(Protocol):
    """The live set, as it is known here."""

    async def run(self) -> None:
        """Observe until cancelled."""

    async def wait(self, reached: Reached, timeout_s: float) -> Applied:
        """Return when it is applied everywhere, or how far it came within `timeout_s`."""

    def applied(self, reached: Reached) -> Applied:
        """Return how far it is applied as known now."""

    async def trouble(self) -> str | None:
        """Say why the live set is not known, or None."""

"""What the revalidator asks of the live set: who has applied the log up to where (rule 11)."""

from typing import Protocol

from asgi_isr.live import Applied, Reached

__all__ = ["Applied", "Observer", "Reached"]


class Observer(Protocol):
    """The live set, as it is known here; `asgi_isr.logs.nats.Instances` is one."""

    async def run(self) -> None:
        """Observe until cancelled."""

    async def wait(self, reached: Reached, timeout_s: float) -> Applied:
        """Return when it is applied everywhere, or how far it came within `timeout_s`."""

    def applied(self, reached: Reached) -> Applied:
        """Return how far it is applied as known now."""

    async def trouble(self) -> str | None:
        """Say why the live set is not known, or None."""

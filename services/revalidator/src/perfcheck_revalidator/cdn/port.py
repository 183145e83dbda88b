"""What the revalidator asks of a CDN (rule 10 of the protocol)."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from perfcheck_contracts import CdnPurge

__all__ = ["Cdn", "CdnError", "PurgeEvent"]


class PurgeEvent(NamedTuple):
    """One event's names.

    `id` is no other event's, whoever published it: what was purged is remembered by it. `tags` are
    canonical, as pages carry them in `Cache-Tag`; `*` is everything.
    """

    id: str
    tags: tuple[str, ...]
    paths: tuple[str, ...]


class CdnError(Exception):
    """The CDN did not take a purge; `permanent` says that trying again would not help.

    `retry_after_s` is how long the CDN asks to be left alone, in seconds.
    """

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, permanent: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.permanent = permanent


class Cdn(Protocol):
    """A CDN that can purge by tag and by path."""

    name: str

    async def purge(self, events: Sequence[PurgeEvent], *, again: bool) -> list[CdnPurge]:
        """Submit the purge of `events`; return one `CdnPurge` for each, in their order.

        `again` marks the second purge (rule 10). Raises `CdnError`.
        """

    async def completed(self, purge: CdnPurge) -> CdnPurge | None:
        """Return `purge` with its end if it is completed, None if not yet. Raises `CdnError`."""

    async def close(self) -> None:
        """Close what was opened."""

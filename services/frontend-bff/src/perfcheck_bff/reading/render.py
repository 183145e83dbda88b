"""One page being rendered: what it has read so far, and whether it may be kept.

Tags come from the data: each reply of the api names what it was made of, and the page that was made
of it carries all these names. No page lists its tags by hand, so none can be forgotten.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from asgi_isr.keys import PAGE_TAGS_MAX, tag_problem
from perfcheck_chassis.http_client import Reply

__all__ = ["Render"]


class Render:
    """Passed to every read of a page; a new one for each page. `clock` gives seconds.

    Attributes:
        api_s: durations of all reads added up.
        hop_s: the part of it that the api did not spend in its own application.
        waited_s: how long at least one read was under way; less than `api_s` when some ran side by
            side.

    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tags: dict[str, None] = {}
        self._origins: dict[str, None] = {}
        self._refusal: str | None = None
        self._reading = 0
        self._since = 0.0
        self.api_s = 0.0
        self.hop_s = 0.0
        self.waited_s = 0.0

    @contextmanager
    def reading(self) -> Generator[None]:
        """Count the time of one read as waited for."""
        if not self._reading:
            self._since = self._clock()
        self._reading += 1
        try:
            yield
        finally:
            self._reading -= 1
            if not self._reading:
                self.waited_s += self._clock() - self._since

    @property
    def tags(self) -> tuple[str, ...]:
        """What the page depends on, in the order of the reads, without duplicates."""
        return tuple(self._tags)

    @property
    def origins(self) -> tuple[str, ...]:
        """What the page was made from, each as `Cache-Origin` names it."""
        return tuple(self._origins)

    @property
    def refusal(self) -> str | None:
        """Why the page must not be kept, or None if it may be."""
        if self._refusal is not None:
            return self._refusal
        if not self._tags:
            return "nothing was read, so no invalidation would reach this page"
        if len(self._tags) > PAGE_TAGS_MAX:
            return f"{len(self._tags)} tags, more than {PAGE_TAGS_MAX}"
        return None

    def fail(self, reason: str) -> None:
        """Note that a read failed: what is shown is not all there is."""
        self._refusal = self._refusal or reason

    def collect(self, path: str, reply: Reply) -> None:
        """Take over a reply's tags, origins and times.

        A reply without tags, or with one that cannot be a cache tag, makes the page unfit to be
        kept: nobody could invalidate it.
        """
        self.api_s += reply.duration_s
        self.hop_s += max(reply.duration_s - (reply.app_s or 0.0), 0.0)
        self._origins.update(dict.fromkeys(_listed(reply, "cache-origin")))
        tags = _listed(reply, "cache-tag")
        if not tags:
            self.fail(f"the reply to {path} names no tags")
        for tag in tags:
            if problem := tag_problem(tag):
                self.fail(f"the reply to {path} names the tag {tag[:64]!r}, which {problem}")
            else:
                self._tags[tag] = None


def _listed(reply: Reply, field: str) -> list[str]:
    """Return the members of a field that is a list."""
    members = (member.strip() for member in reply.headers.get(field, "").split(","))
    return [member for member in members if member]

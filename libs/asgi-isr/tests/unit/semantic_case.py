"""What a case of HTTP semantics is: requests to one site, with what the app would answer then."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

START = 1_795_400_000.0  # of the clock of a case, in seconds since 1970
# Who answers. `confirmed`: the cache does, after the app said 304. `none`: the cache with an error.
By = Literal["app", "cache", "confirmed", "none"]


class Says(NamedTuple):
    """What the app answers: `lines` are its fields, `takes_s` how long it works on it.

    Where it is asked nothing (no condition) and has something else to say, that is `unasked`.
    """

    lines: tuple[str, ...] = ()
    body: str = "one"
    status: int = 200
    takes_s: float = 0.0
    fails: bool = False  # raises instead
    unasked: "Says | None" = None


class Step(NamedTuple):
    """One request and what is expected of it.

    Before it `after_s` seconds pass, the app's answer becomes `says` (else it stays as it was), and
    the names in `hard` and `soft` are invalidated. `parts` are those of `Cache-Status`. `seen` and
    `unseen` speak of the request that the app got. `runs` is how often the app ran until nothing
    goes on in the background any more; by default once if it has part in the answer, else never.
    """

    by: By
    ask: str = "GET /page"
    fields: tuple[str, ...] = ()
    says: Says | None = None
    after_s: float = 0.0
    hard: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()
    at: int = 0  # the instance
    status: int = 200
    body: str | None = None
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    lacks_parts: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    runs: int | None = None


class Case(NamedTuple):
    """A rule of `source`, shown by steps. `settings` are those of every instance."""

    id: str
    source: str
    steps: tuple[Step, ...]
    settings: Mapping[str, Any] = {}


def says(*lines: str, **rest: Any) -> Says:
    """Return an answer of the app with these field lines."""
    return Says(lines=lines, **rest)


def kept(*lines: str, **rest: Any) -> tuple[Step, ...]:
    """Return two requests: the app answers the first one so, the cache the second."""
    return (Step("app", says=says(*lines, **rest)), Step("cache"))


def not_kept(*lines: str, **rest: Any) -> tuple[Step, ...]:
    """Return two requests, both of which the app answers, so."""
    return (Step("app", says=says(*lines, **rest)), Step("app"))

"""The rights as `docs/security.md` shows them."""

from attack.rights import RIGHTS
from attack.system import PUBLISHERS

__all__ = ["table"]

_HEAD = ("| credential | may | by |", "|---|---|---|")


def table() -> list[str]:
    """Return the lines of the table: each right once, with the subjects that it takes."""
    ways: dict[tuple[str, str], list[str]] = {}
    for user, rights in RIGHTS.items():
        if user in PUBLISHERS[1:]:
            continue  # one stands for all
        name = "a publisher" if user in PUBLISHERS else f"`{user}`"
        for right in rights:
            way = f"`{right.subject}`" if right.subject else f"an answer to `{right.reply}`"
            shown = way.replace(user, "<name>") if user in PUBLISHERS else way
            ways.setdefault((name, right.why), []).append(shown)
    rows = (f"| {name} | {why} | {', '.join(by)} |" for (name, why), by in ways.items())
    return [*_HEAD, *rows]

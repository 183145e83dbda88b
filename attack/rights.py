"""What each credential may reach, by name and with the reason; everything else must do nothing.

`docs/security.md` shows this table.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from attack.cells import Cell
from attack.system import API, BFF, PUBLISHERS, REVALIDATOR

__all__ = ["RIGHTS", "UNBOUND", "Right", "answered", "covering", "without_permissions"]


class Right(NamedTuple):
    """A message to `subject`, or with the reply subject `reply`, may change what `changes` names.

    With `answers` somebody may answer it. Names are patterns. What is `skipped` is not tried: its
    holder owns what it would change.
    """

    why: str
    subject: str = ""
    reply: str = ""
    changes: tuple[str, ...] = ()
    answers: bool = True
    skipped: bool = False

    def covers(self, cell: Cell) -> bool:
        """Say whether this is about `cell`."""
        if self.reply:
            return fnmatchcase(cell.reply, self.reply)
        return fnmatchcase(cell.subject, self.subject)


_LOG, _CONSUMERS = "CACHE_INVALIDATIONS", "CACHE_INVALIDATIONS.revalidator*"


def _said(why: str, subject: str, *changes: str, answers: bool = True) -> tuple[Right, Right]:
    """Return the right to publish to `subject`, which a reply subject can use as well."""
    return (
        Right(why, subject=subject, changes=changes, answers=answers),
        Right(why, reply=subject, changes=changes),
    )


def _inbox(user: str) -> Right:
    return Right(
        "an inbox of the same user, whose name is random",
        reply=f"_INBOX_{user}.victim",
        changes=(f"heard: {user} hears its inbox",),
    )


def _reads(why: str, *subjects: str) -> tuple[Right, ...]:
    return tuple(Right(why, subject=f"log.api.{subject}") for subject in subjects)


_READS_THE_LOG = _reads(
    "reads the log", f"STREAM.INFO.{_LOG}", f"STREAM.MSG.GET.{_LOG}", f"DIRECT.GET.{_LOG}"
)
_PAGES = (
    *_READS_THE_LOG,
    *_said(
        "registers instances, also false ones",
        "cache.instances.v1.x",
        "CACHE_INSTANCES: messages",
        "CACHE_INSTANCES: of cache.instances.v1.x",
        "heard: * hears cache.instances.v1",
    ),
    *_said(
        "reports positions, also false ones",
        "cache.positions.v1.x",
        "heard: * hears cache.positions.v1",
        answers=False,
    ),
    *_said(
        "names popular pages, also false ones",
        "cache.popular.v1.x",
        "heard: revalidator hears cache.popular.v1",
        answers=False,
    ),
    *_said(
        "asks for marks",
        "cache.mark-requests.v1",
        "heard: api hears cache.mark-requests.v1",
    ),
    _inbox(BFF),
)
_WORKED_OFF = "CACHE_INVALIDATIONS/revalidator*: acknowledged"
_WORK = (
    *_READS_THE_LOG,
    *_reads("reads registrations", "STREAM.INFO.CACHE_INSTANCES", "STREAM.MSG.GET.CACHE_INSTANCES"),
    *_said("takes events to work on", f"log.api.CONSUMER.MSG.NEXT.{_CONSUMERS}", _WORKED_OFF),
    *_said("acknowledges events", f"$JS.ACK.{_CONSUMERS}", _WORKED_OFF),
    *_said(
        "writes receipts, also false ones",
        "cache.receipts.v1",
        "CACHE_RECEIPTS: messages",
        "CACHE_RECEIPTS: of cache.receipts.v1",
    ),
    *_said(
        "writes dead letters, also false ones",
        "cache.dead-letters.v1.x",
        "CACHE_DEAD_LETTERS: messages",
        "CACHE_DEAD_LETTERS: of cache.dead-letters.v1.x",
    ),
    Right(
        "keeps dead letters",
        subject="$JS.API.STREAM.*.CACHE_DEAD_LETTERS",
        changes=("CACHE_DEAD_LETTERS: *",),
    ),
    *(
        Right(
            "tells other revalidators, which share its account, what page servers would",
            reply=f"{prefix}.x",
            changes=(f"heard: revalidator hears {prefix}",),
        )
        for prefix in ("cache.instances.v1", "cache.positions.v1", "cache.popular.v1")
    ),
    _inbox(REVALIDATOR),
)
_KEPT = (_LOG, "CACHE_INSTANCES", "CACHE_RECEIPTS")
_OWNED = (
    "cache.invalidations.v1.api",
    "cache.marks.v1.api",
    *(f"$JS.API.STREAM.{verb}.{name}" for verb in ("INFO", "CREATE", "UPDATE") for name in _KEPT),
    f"$JS.API.STREAM.DELETE.{_LOG}",
    f"$JS.API.STREAM.MSG.GET.{_LOG}",
    "$JS.API.STREAM.MSG.GET.CACHE_INSTANCES",
    f"$JS.API.DIRECT.GET.{_LOG}",
    *(
        f"$JS.API.CONSUMER.{verb}.{consumer}"
        for verb in ("INFO", "DURABLE.CREATE", "PAUSE")
        for consumer in (_CONSUMERS, "CACHE_RECEIPTS.api")
    ),
    "$JS.API.CONSUMER.MSG.NEXT.CACHE_RECEIPTS.api",
    "$JS.ACK.CACHE_RECEIPTS.api.*",
)


def _publisher(name: str) -> tuple[Right, ...]:
    own = f"cache.invalidations.v1.{name}"
    return (
        *_said("publishes under its own name", own, f"{_LOG}: messages", f"{_LOG}: of {own}"),
        _inbox(name),
    )


RIGHTS: dict[str, tuple[Right, ...]] = {
    API: (*(Right("owns the log", subject=subject, skipped=True) for subject in _OWNED),),
    BFF: _PAGES,
    REVALIDATOR: _WORK,
    **{name: _publisher(name) for name in PUBLISHERS},
}


# Of those whom no permission binds, so that accounts alone hold: what they do to themselves.
_ITSELF = "all that its account can do to itself"
UNBOUND: dict[str, tuple[Right, ...]] = {
    BFF: (
        Right(
            _ITSELF,
            subject="*",
            changes=(
                f"{BFF} takes for a message of the log",
                f"heard: {BFF} hears its inbox",
                *(change for right in _PAGES for change in right.changes),
            ),
            answers=False,
        ),
    ),
    REVALIDATOR: (
        Right(
            _ITSELF,
            subject="*",
            changes=(
                "WORK: streams",
                *(f"{stream}*" for stream in ("CACHE_DEAD_LETTERS", "EVIL", "SOURCED", "MIRROR")),
                f"{REVALIDATOR} takes for a message of the log",
                f"heard: {REVALIDATOR} hears *",
                "CACHE_RECEIPTS: of *",  # a consumer of its own delivers under the first subject
                *(change for right in _WORK for change in right.changes),
            ),
            answers=False,
        ),
    ),
    "shop": (Right(_ITSELF, subject="*", changes=("heard: shop hears its inbox",), answers=False),),
}
_ASKS_ITSELF = tuple(
    Right("asks about its own account", subject=subject)
    for subject in (
        "$JS.API.*",
        "$SYS.REQ.USER.INFO",
        "$SYS.REQ.ACCOUNT.PING.STATZ",
        "$SYS.REQ.SERVER.PING.CONNZ",
    )
)


def without_permissions(user: str) -> tuple[Right, ...]:
    """Return what `user` may reach when no permission binds it."""
    return (*RIGHTS[user], *UNBOUND[user], *_ASKS_ITSELF)


def covering(rights: Sequence[Right], cell: Cell) -> tuple[int, ...]:
    """Return which of `rights` are about `cell`, by their numbers."""
    return tuple(number for number, each in enumerate(rights) if each.covers(cell))


def answered(rights: Sequence[Right], subjects: Iterable[str]) -> set[str]:
    """Return those of `subjects` that nobody may answer, and somebody did."""
    patterns = [each.subject for each in rights if each.subject and each.answers]
    return {each for each in subjects if not any(fnmatchcase(each, its) for its in patterns)}

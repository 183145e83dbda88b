"""Who may say and hear what on NATS: accounts, what crosses between them, and their users.

NATS checks no permission on subjects that a user names for an answer or a delivery. So what must
not be said by everybody is kept where nothing leads to: each account has subjects of its own, and
only what is exported by name crosses. This table is what production copies (`docs/identity.md`
shows it as NATS configuration). It makes these promises, which hold when a service is taken over:

- marks and numbers, which make pages warmer, are written in `LOG` alone, which imports nothing;
- a publisher has an account of its own, out of which nothing leads but its own subject;
- nobody but the api makes, changes or deletes the log, or a consumer of it;
- what a page server or a revalidator can say to others is what is exported to it, and no more.

The users' permissions are a second line. They keep the page servers, which share an account, from
speaking to each other as the log.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from asgi_isr.events import (
    LOG_SUBJECT_PREFIX,
    MARK_REQUEST_SUBJECT,
    MARK_SUBJECT_PREFIX,
    STREAM,
    SUBJECT_PREFIX,
)
from asgi_isr.reports import (
    INSTANCES_STREAM,
    INSTANCES_SUBJECT_PREFIX,
    POPULAR_SUBJECT_PREFIX,
    POSITIONS_SUBJECT_PREFIX,
)
from perfcheck_contracts import (
    DEAD_LETTER_SUBJECT_PREFIX,
    DEAD_LETTERS,
    DEAD_LETTERS_STREAM,
    EVENT_CONSUMERS,
    LOG_API,
    RECEIPTS_STREAM,
    RECEIPTS_SUBJECT,
)

from perfcheck_embedded.backends.nats_configuration import Account, Export, NatsUser
from perfcheck_embedded.errors import EmbeddedError

__all__ = ["LOG", "PAGES", "PUBLISHER_PREFIX", "TEST_USER", "TEST_USERS", "WORK", "accounts"]

LOG = "LOG"
PAGES = "PAGES"
WORK = "WORK"
PUBLISHER_PREFIX = "PUB_"
TEST_USER = "test"
# Of throw-away servers: they may do all that can be done in an account.
TEST_USERS = {
    TEST_USER: LOG,
    "test-pages": PAGES,
    "test-work": WORK,
    "test-shop": f"{PUBLISHER_PREFIX}shop",
}
_API = "$JS.API"
_PUBLISHER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def _log_api(verb: str, *importers: str, many: bool = False) -> Export:
    """Export one verb of JetStream's API under another name.

    Each account has a `$JS.API` of its own, which would answer too.
    """
    return Export(
        subject=f"{_API}.{verb}", importers=importers, many=many, local=f"{LOG_API}.{verb}"
    )


def _keeps(stream: str) -> tuple[str, ...]:
    """Return what the owner of a stream asks JetStream for: all but purging it."""
    return tuple(f"{_API}.STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE", "UPDATE"))


def _consumes(stream: str, *durables: str) -> tuple[str, ...]:
    """Return what keeping durable consumers of a stream takes."""
    verbs = ("INFO", "DURABLE.CREATE", "PAUSE")
    return tuple(f"{_API}.CONSUMER.{verb}.{stream}.{name}" for name in durables for verb in verbs)


_TOLD_BY_PAGES = (INSTANCES_SUBJECT_PREFIX, POSITIONS_SUBJECT_PREFIX, POPULAR_SUBJECT_PREFIX)
_WORKERS = tuple(consumer.durable for consumer in EVENT_CONSUMERS)

API_USER = NatsUser(
    name="api",
    publish=(
        f"{SUBJECT_PREFIX}.api",
        f"{MARK_SUBJECT_PREFIX}.api",
        *_keeps(STREAM),
        f"{_API}.STREAM.DELETE.{STREAM}",  # of a log that lost what it had acknowledged
        f"{_API}.STREAM.MSG.GET.{STREAM}",
        f"{_API}.DIRECT.GET.{STREAM}",
        *_consumes(STREAM, *_WORKERS),
        *_keeps(INSTANCES_STREAM),
        f"{_API}.STREAM.MSG.GET.{INSTANCES_STREAM}",
        *_keeps(RECEIPTS_STREAM),
        *_consumes(RECEIPTS_STREAM, "api"),
        f"{_API}.CONSUMER.MSG.NEXT.{RECEIPTS_STREAM}.api",
        f"$JS.ACK.{RECEIPTS_STREAM}.api.>",
    ),
    subscribe=(
        MARK_REQUEST_SUBJECT,
        f"{INSTANCES_SUBJECT_PREFIX}.>",
        f"{POSITIONS_SUBJECT_PREFIX}.>",
    ),
    answers=True,
)
FRONTEND_BFF_USER = NatsUser(
    name="frontend-bff",
    publish=(
        f"{LOG_API}.>",
        MARK_REQUEST_SUBJECT,
        *(f"{prefix}.*" for prefix in _TOLD_BY_PAGES),
    ),
    subscribe=(f"{LOG_SUBJECT_PREFIX}.>",),
)
REVALIDATOR_USER = NatsUser(
    name="revalidator",
    publish=(
        f"{LOG_API}.>",
        *(f"$JS.ACK.{STREAM}.{name}.>" for name in _WORKERS),
        RECEIPTS_SUBJECT,
        f"{DEAD_LETTER_SUBJECT_PREFIX}.>",
        *_keeps(DEAD_LETTERS_STREAM),
        f"{_API}.STREAM.MSG.GET.{DEAD_LETTERS_STREAM}",
        f"{_API}.STREAM.MSG.DELETE.{DEAD_LETTERS_STREAM}",  # of a letter that was sent again
    ),
    subscribe=(
        f"{LOG_SUBJECT_PREFIX}.>",
        *(f"{prefix}.>" for prefix in _TOLD_BY_PAGES),
    ),
)
SERVICE_USERS = (API_USER, FRONTEND_BFF_USER, REVALIDATOR_USER)


def _publisher(name: str) -> Account:
    """Return the account of a publisher: it may publish under its own name, and nothing else."""
    taken = [*(user.name for user in SERVICE_USERS), *TEST_USERS]
    if not _PUBLISHER.fullmatch(name) or name in taken:
        raise EmbeddedError(
            f"{name!r} cannot be a publisher: expected up to 64 letters, digits, - and _, and none"
            f" of {', '.join(taken)}"
        )
    # Nobody else is here, so clients need no prefix of their own for their inboxes.
    user = NatsUser(name=name, publish=(f"{SUBJECT_PREFIX}.{name}",), subscribe=("_INBOX.>",))
    return Account(name=f"{PUBLISHER_PREFIX}{name}", users=(user,))


def _log(publishers: Sequence[str]) -> Account:
    readers = (PAGES, WORK)
    return Account(
        name=LOG,
        jetstream="enabled",
        users=(API_USER,),
        exports=(
            Export(kind="stream", subject=f"{LOG_SUBJECT_PREFIX}.>", importers=readers),
            _log_api(f"STREAM.INFO.{STREAM}", *readers),
            _log_api(f"STREAM.MSG.GET.{STREAM}", *readers),
            _log_api(f"DIRECT.GET.{STREAM}", *readers, many=True),
            Export(subject=MARK_REQUEST_SUBJECT, importers=(PAGES,)),
            Export(subject=f"{INSTANCES_SUBJECT_PREFIX}.*", importers=(PAGES,)),
            Export(subject=f"{POSITIONS_SUBJECT_PREFIX}.*", importers=(PAGES,)),
            _log_api(f"STREAM.INFO.{INSTANCES_STREAM}", WORK),
            _log_api(f"STREAM.MSG.GET.{INSTANCES_STREAM}", WORK),
            # The work on events; whoever makes a consumer says where it delivers: only the api.
            *(_log_api(f"CONSUMER.MSG.NEXT.{STREAM}.{name}", WORK, many=True) for name in _WORKERS),
            *(Export(subject=f"$JS.ACK.{STREAM}.{name}.>", importers=(WORK,)) for name in _WORKERS),
            Export(subject=RECEIPTS_SUBJECT, importers=(WORK,)),
            *(
                Export(subject=f"{SUBJECT_PREFIX}.{name}", importers=(f"{PUBLISHER_PREFIX}{name}",))
                for name in publishers
            ),
        ),
    )


def accounts(publishers: Sequence[str], *, test_users: bool = False) -> tuple[Account, ...]:
    """Return all accounts, with one for each of `publishers`.

    With `test_users` there are also those of `TEST_USERS`, who may do all that their account can.

    Raises:
        EmbeddedError: a name cannot be a publisher's.

    """
    every = (
        _log(publishers),
        Account(
            name=PAGES,
            users=(FRONTEND_BFF_USER,),
            # Not by way of `LOG`: what came in as a service does not go out again as a stream.
            exports=tuple(
                Export(kind="stream", subject=f"{prefix}.*", importers=(WORK,))
                for prefix in _TOLD_BY_PAGES
            ),
        ),
        Account(
            name=WORK,
            users=(REVALIDATOR_USER,),
            jetstream={"max_mem": 0, "max_file": DEAD_LETTERS.bytes_max, "max_streams": 1},
        ),
        *(_publisher(name) for name in publishers),
    )
    if not test_users:
        return every
    return tuple(
        replace(account, users=(*account.users, *_test_users(account.name))) for account in every
    )


def _test_users(account: str) -> tuple[NatsUser, ...]:
    found = (name for name, its in TEST_USERS.items() if its == account)
    return tuple(NatsUser(name=name, unrestricted=True) for name in found)

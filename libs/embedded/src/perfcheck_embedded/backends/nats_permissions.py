"""Who may say and hear what on NATS: the product's users and their subjects.

This table is what production copies (`docs/identity.md` shows it as NATS configuration). It makes
four promises that hold even when a service is taken over:

- only the api, and publishers named here, can publish an invalidation, each under its own name;
- only the api publishes marks, which renew the leases of all caches;
- a BFF reads the log, and cannot change or delete it;
- nobody reads another's answers: each user's inboxes begin with `_INBOX_<user>`.

What it cannot express: names of consumers are single tokens, so whoever may delete its own reader
of the log may delete another's. The other makes it anew; nothing is lost but a moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
    DEAD_LETTERS_STREAM,
    RECEIPTS_STREAM,
    RECEIPTS_SUBJECT,
)

ANSWER_S_MAX = 30  # the api may answer a request for a mark for so long, once


@dataclass(frozen=True, kw_only=True)
class NatsUser:
    """One user: subjects it may publish to, and subscribe to beside its own inboxes.

    With `answers` it may answer each request that it was sent, once, within `ANSWER_S_MAX`.
    """

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()
    answers: bool = False

    def configuration(self, password: str) -> dict[str, object]:
        """Return the user as NATS's configuration knows it."""
        permissions: dict[str, object] = {
            "publish": {"allow": list(self.publish)},
            "subscribe": {"allow": [*self.subscribe, f"_INBOX_{self.name}.>"]},
        }
        if self.answers:
            permissions["allow_responses"] = {"max": 1, "expires": f"{ANSWER_S_MAX}s"}
        return {"user": self.name, "password": password, "permissions": permissions}


def _reads(stream: str) -> tuple[str, ...]:
    """Return what reading a stream takes: its state, single messages, a consumer of one's own."""
    return (
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
        f"$JS.FC.{stream}.>",
    )


def _works_off(stream: str) -> tuple[str, ...]:
    """Return what a durable pull consumer takes, beside `$JS.ACK.>`."""
    return (
        *_reads(stream),
        f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.*",
        f"$JS.API.CONSUMER.INFO.{stream}.*",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
    )


def _keeps(stream: str) -> tuple[str, ...]:
    """Return what the owner of a stream takes: all but purging it."""
    return (
        *_works_off(stream),
        f"$JS.API.STREAM.CREATE.{stream}",
        f"$JS.API.STREAM.UPDATE.{stream}",
        f"$JS.API.STREAM.DELETE.{stream}",
    )


API_USER = NatsUser(
    name="api",
    publish=(
        f"{SUBJECT_PREFIX}.api",
        f"{MARK_SUBJECT_PREFIX}.api",
        *_keeps(STREAM),
        *_keeps(INSTANCES_STREAM),
        *_keeps(RECEIPTS_STREAM),
        "$JS.ACK.>",
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
        MARK_REQUEST_SUBJECT,
        f"{INSTANCES_SUBJECT_PREFIX}.*",
        f"{POSITIONS_SUBJECT_PREFIX}.*",
        f"{POPULAR_SUBJECT_PREFIX}.*",
        *_reads(STREAM),
    ),
    subscribe=(f"{LOG_SUBJECT_PREFIX}.>",),
)
REVALIDATOR_USER = NatsUser(
    name="revalidator",
    publish=(
        RECEIPTS_SUBJECT,
        f"{DEAD_LETTER_SUBJECT_PREFIX}.>",
        *_works_off(STREAM),
        *_works_off(INSTANCES_STREAM),
        f"$JS.API.STREAM.CREATE.{INSTANCES_STREAM}",  # as the api creates it, when it comes first
        *_keeps(RECEIPTS_STREAM),
        *_keeps(DEAD_LETTERS_STREAM),
        f"$JS.API.STREAM.MSG.DELETE.{DEAD_LETTERS_STREAM}",  # of a letter that was sent again
        "$JS.ACK.>",
    ),
    subscribe=(
        f"{LOG_SUBJECT_PREFIX}.>",
        f"{INSTANCES_SUBJECT_PREFIX}.>",
        f"{POSITIONS_SUBJECT_PREFIX}.>",
        f"{POPULAR_SUBJECT_PREFIX}.>",
    ),
)
SERVICE_USERS = (API_USER, FRONTEND_BFF_USER, REVALIDATOR_USER)


def publisher(name: str) -> NatsUser:
    """Return a user that may publish invalidations under its own name, and nothing else."""
    return NatsUser(name=name, publish=(f"{SUBJECT_PREFIX}.{name}",))


def users(publishers: Sequence[str]) -> tuple[NatsUser, ...]:
    """Return the services' users and one for each of `publishers`."""
    return (*SERVICE_USERS, *(publisher(name) for name in publishers))

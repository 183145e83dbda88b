"""The matrix: what is published to which subject, and where the answer shall go.

Subjects are those that the accounts name, and every verb of JetStream's API on every stream and
consumer that there is, by its own name and by the one that other accounts import it under.
"""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from asgi_isr.events import (
    LOG_SUBJECT_PREFIX,
    MARK_REQUEST_SUBJECT,
    MARK_SUBJECT_PREFIX,
    STREAM,
    SUBJECT_PREFIX,
)
from asgi_isr.reports import INSTANCES_STREAM
from perfcheck_contracts import DEAD_LETTERS_STREAM, EVENT_CONSUMERS, LOG_API, RECEIPTS_STREAM

from attack.system import CREDENTIALS, Accounts, System

__all__ = ["INBOX", "Cell", "first_cells", "reply_cells", "subjects_of_ours"]

API_PREFIXES = ("$JS.API", LOG_API)
INBOX = "(own inbox)"
EVIL = "evil"
_TAKEN = {
    STREAM: tuple(each.durable for each in EVENT_CONSUMERS),
    RECEIPTS_STREAM: ("api",),
    INSTANCES_STREAM: (),
    DEAD_LETTERS_STREAM: (),
}
_OF_THE_LOG = (SUBJECT_PREFIX, MARK_SUBJECT_PREFIX)
_SYSTEM = (
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.SERVER.PING.CONNZ",
    "$SYS.REQ.SERVER.PING.JSZ",
    "$SYS.REQ.SERVER.x.RELOAD",
    "$SYS.REQ.SERVER.x.KICK",
    "$SYS.REQ.SERVER.x.LDM",
    "$SYS.REQ.ACCOUNT.LOG.CONNZ",
    "$SYS.REQ.ACCOUNT.LOG.SUBSZ",
    "$SYS.REQ.ACCOUNT.LOG.JSZ",
    "$SYS.REQ.ACCOUNT.LOG.CLAIMS.LOOKUP",
    "$SYS.REQ.ACCOUNT.PING.STATZ",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.USER.INFO",
    "$SYS.ACCOUNT.LOG.CONNECT",
)
_API_OF_THE_ACCOUNT = {
    "INFO": "",
    "STREAM.NAMES": "",
    "STREAM.LIST": "",
    "META.LEADER.STEPDOWN": "",
    "SERVER.REMOVE": '{"peer":"x"}',
    "ACCOUNT.PURGE.LOG": "",
    "ACCOUNT.STREAM.MOVE.LOG.x": "{}",
}


class Cell(NamedTuple):
    """A message that an attacker publishes. `reply` is "" for none."""

    subject: str
    body: str
    reply: str
    note: str = ""  # what distinguishes it from others with this subject and reply

    def __str__(self) -> str:
        """Return it as a finding names it."""
        return " ".join(filter(None, (self.subject, self.note, self.reply and f"→ {self.reply}")))


def subjects_of_ours(accounts: Accounts) -> list[str]:
    """Return one subject of each kind that the accounts name, and those of the log's messages."""
    named = set(_strings(accounts))
    found = {
        name.replace(">", "x").replace("*", "x") for name in named if name.startswith("cache.")
    }
    found |= {f"{SUBJECT_PREFIX}.{user}" for user in (*CREDENTIALS, "x")}
    said = {f"{prefix}.{user}" for prefix in _OF_THE_LOG for user in ("api", "x")}
    found |= said | {f"{LOG_SUBJECT_PREFIX}.{subject}" for subject in said}
    return sorted(found)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _verbs(deliver: str) -> Iterator[tuple[str, str]]:
    """Yield each request of JetStream's API, and its body; what delivers does so to `deliver`."""
    yield from _API_OF_THE_ACCOUNT.items()
    yield "STREAM.CREATE.EVIL", _stream("EVIL", subjects=[deliver])
    source = {"name": STREAM, "external": {"api": LOG_API, "deliver": deliver}}
    yield "STREAM.CREATE.SOURCED", _stream("SOURCED", sources=[source])
    yield "STREAM.CREATE.MIRROR", _stream("MIRROR", mirror=source)
    for stream, consumers in _TAKEN.items():
        yield from _of_stream(stream, deliver)
        for consumer in consumers:
            yield from _of_consumer(stream, consumer, deliver)


def _of_stream(stream: str, deliver: str) -> Iterator[tuple[str, str]]:
    one = '{"seq":1,"next_by_subj":">"}'
    yield from {
        f"STREAM.INFO.{stream}": "",
        f"STREAM.CREATE.{stream}": _stream(stream, subjects=["x"]),
        f"STREAM.UPDATE.{stream}": _stream(
            stream, subjects=["x"], republish={"src": ">", "dest": f"{deliver}.>"}, max_msgs=1
        ),
        f"STREAM.DELETE.{stream}": "",
        f"STREAM.PURGE.{stream}": "",
        f"STREAM.MSG.GET.{stream}": one,
        f"STREAM.MSG.DELETE.{stream}": one,
        f"STREAM.SNAPSHOT.{stream}": json.dumps({"deliver_subject": deliver}),
        f"STREAM.RESTORE.{stream}": json.dumps(
            {"config": {"name": stream, "subjects": ["x"]}, "state": {"messages": 1}}
        ),
        f"STREAM.LEADER.STEPDOWN.{stream}": "",
        f"STREAM.PEER.REMOVE.{stream}": '{"peer":"x"}',
        f"DIRECT.GET.{stream}": one,
        f"DIRECT.GET.{stream}.{SUBJECT_PREFIX}.api": "",
        f"CONSUMER.NAMES.{stream}": "",
        f"CONSUMER.LIST.{stream}": "",
        f"CONSUMER.CREATE.{stream}": _consumer(stream, "", deliver),
        f"CONSUMER.CREATE.{stream}.{EVIL}": _consumer(stream, EVIL, deliver),
        f"CONSUMER.CREATE.{stream}.{EVIL}.{SUBJECT_PREFIX}.api": _consumer(
            stream, EVIL, deliver, filter_subject=f"{SUBJECT_PREFIX}.api"
        ),
        f"CONSUMER.DURABLE.CREATE.{stream}.{EVIL}": _consumer(stream, EVIL, deliver),
    }.items()
    yield f"DIRECT.GET.{stream}", '{"seq":1}'  # there is none: an answer without a body
    yield f"DIRECT.GET.{stream}", '{"seq":1,"batch":3,"next_by_subj":">"}'
    yield f"DIRECT.GET.{stream}", '{"multi_last":[">"]}'
    yield f"DIRECT.GET.{stream}", '{"last_by_subj":"cache.marks.v1.api"}'


def _of_consumer(stream: str, consumer: str, deliver: str) -> Iterator[tuple[str, str]]:
    pulls = _consumer(stream, consumer, "", filter_subject="cache.none.x", ack_policy="explicit")
    pushes = _consumer(stream, consumer, deliver, ack_policy="explicit")
    for body in (pulls, pushes):
        yield f"CONSUMER.CREATE.{stream}.{consumer}", body
        yield f"CONSUMER.DURABLE.CREATE.{stream}.{consumer}", body
    yield from {
        f"CONSUMER.INFO.{stream}.{consumer}": "",
        f"CONSUMER.DELETE.{stream}.{consumer}": "",
        f"CONSUMER.PAUSE.{stream}.{consumer}": '{"pause_until":"2099-01-01T00:00:00Z"}',
        f"CONSUMER.RESET.{stream}.{consumer}": '{"seq":1}',
        f"CONSUMER.UNPIN.{stream}.{consumer}": '{"group":"x"}',
        f"CONSUMER.LEADER.STEPDOWN.{stream}.{consumer}": "",
        f"CONSUMER.MSG.NEXT.{stream}.{consumer}": '{"batch":1,"no_wait":true}',
    }.items()


def _stream(name: str, **fields: object) -> str:
    return json.dumps({"name": name, "storage": "file", **fields})


def _consumer(stream: str, name: str, deliver: str, **fields: object) -> str:
    config = {"name": name, "durable_name": name, "deliver_subject": deliver, "ack_policy": "none"}
    given = {key: value for key, value in (config | fields).items() if value}
    return json.dumps({"stream_name": stream, "config": given})


def _plain(system: System) -> Iterator[tuple[str, str]]:
    """Yield what is no request to JetStream's API."""
    for subject in (*subjects_of_ours(system.accounts), *_SYSTEM):
        yield subject, '{"paths":["/evil"]}'
    for durable, subject in system.acks.items():
        for word in ("+ACK", "-NAK", "+TERM", "+NXT"):
            yield subject, word
        stream = subject.split(".")[2]
        yield f"$JS.FC.{stream}.{durable}.x", ""
        yield f"$JS.EVENT.ADVISORY.CONSUMER.DELETED.{stream}.{durable}", "{}"
    yield from ((f"_INBOX_{user}.victim", "{}") for user in CREDENTIALS)


def first_cells(system: System) -> list[Cell]:
    """Return every message whose answer comes to the attacker, whatever it would have delivered."""
    cells = [Cell(subject, body, INBOX) for subject, body in _plain(system)]
    targets = _targets(system)
    for prefix in API_PREFIXES:
        seen: set[tuple[str, str]] = set()
        for deliver in targets:
            for verb, body in _verbs(deliver):
                if (verb, body) not in seen:
                    seen.add((verb, body))
                    note = f"(delivers to {deliver})" if deliver in body else ""
                    cells.append(Cell(f"{prefix}.{verb}", body, INBOX, note))
    return cells


def reply_cells(system: System, reached: Iterable[str]) -> list[Cell]:
    """Return messages whose answer shall go elsewhere.

    Where somebody answers (`reached`), every body is sent, and the answer to it to every subject of
    ours and every one of JetStream's API; elsewhere one body is, and to the subjects of ours.
    """
    bodies: dict[str, dict[str, None]] = {}
    for subject, body in _plain(system):
        bodies.setdefault(subject, {})[body] = None
    for prefix in API_PREFIXES:
        for verb, body in _verbs(_targets(system)[0]):
            bodies.setdefault(f"{prefix}.{verb}", {})[body] = None
    answering = frozenset(reached)
    few = _targets(system)
    many = list(dict.fromkeys([*few, *(subject for subject in bodies if "API" in subject.upper())]))
    return [
        Cell(subject, body, reply)
        for subject, found in bodies.items()
        for body in (found if subject in answering else list(found)[:1])
        for reply in ("", *(many if subject in answering else few))
    ]


def _targets(system: System) -> list[str]:
    """Return the subjects that an answer or a delivery may be meant to reach."""
    return [
        *subjects_of_ours(system.accounts),
        *(f"_INBOX_{user}.victim" for user in CREDENTIALS),
        *system.acks.values(),
        f"$JS.API.STREAM.PURGE.{STREAM}",
        f"$JS.API.STREAM.DELETE.{STREAM}",
        *(f"$JS.API.CONSUMER.DELETE.{STREAM}.{each}" for each in _TAKEN[STREAM]),
        *(f"{LOG_API}.CONSUMER.MSG.NEXT.{STREAM}.{each}" for each in _TAKEN[STREAM]),
        MARK_REQUEST_SUBJECT,
    ]

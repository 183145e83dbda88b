"""The invalidation event: its fields, its codec, and where it is published.

The body is JSON, attributes of CloudEvents 1.0 travel in headers (CloudEvents NATS binding, binary
mode). Any publisher can write it:

    nats pub cache.invalidations.v1.shop '{"tags":["product:42"],"mode":"hard"}'

One set of limits holds wherever an event comes from. Bytes and names are counted before anything is
done with them; what is over a limit, or cannot be read, stands for everything (`UNREADABLE`). Of
names that no page can have those that pages can have are applied without them (`parts`).
"""

import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import chain
from typing import Literal, NamedTuple, get_args

import msgspec

from asgi_isr.errors import InvalidEventError
from asgi_isr.keys import EVERYTHING, event_path, event_tag, plain_tags

__all__ = [
    "EVENT_BYTES_MAX", "EVENT_TYPE", "LOG_SUBJECT_PREFIX", "MARK_CHARS_MAX",
    "MARK_REQUEST_SUBJECT", "MARK_SUBJECT_PREFIX", "MODES", "NAMES_MAX", "ORIGIN_HEADER",
    "REASON_CHARS_MAX", "SEQUENCE_HEADER", "SOURCE", "STREAM", "SUBJECT_PREFIX", "UNREADABLE",
    "Invalidation", "Mode", "Part", "Problem", "body_of", "check", "checking", "decode", "encode",
    "headers", "subject_of",
]  # fmt: skip

STREAM = "CACHE_INVALIDATIONS"
SUBJECT_PREFIX = "cache.invalidations.v1"
MARK_SUBJECT_PREFIX = "cache.marks.v1"
MARK_REQUEST_SUBJECT = "cache.mark-requests.v1"
LOG_SUBJECT_PREFIX = "cache.log.v1"  # and the whole subject of a message: how readers hear of it
EVENT_TYPE = "cache.invalidation.v1"
# Header of a source that counts its events, as an outbox does: every event of this source with a
# number up to this one stands in the log up to here. Marks carry it too (rule 12).
SEQUENCE_HEADER = "Cache-Sequence"
# Header of a source that reads its data from one origin: which one, as it named itself when the
# message was published. Answers of the source carry it too (rule 13).
ORIGIN_HEADER = "Cache-Origin"
SOURCE = "asgi-isr"  # of a publisher that names none

NAMES_MAX = 1000  # tags and paths of one event
REASON_CHARS_MAX = 1024
EVENT_BYTES_MAX = 64 * 1024
MARK_CHARS_MAX = 128
# What is read at once: some 0.2 ms. A single name may be longer, at most 12 KiB.
_PART_NAMES_MAX = 48
_PART_CHARS_MAX = 3072

_SOURCE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

Mode = Literal["hard", "soft"]
MODES: tuple[str, ...] = get_args(Mode)


class Problem(NamedTuple):
    """What is wrong with one name of an event."""

    field: str
    position: int
    reason: str

    def __str__(self) -> str:
        """Return it with the name's place."""
        return f"{self.field}[{self.position}]: {self.reason}"


class Part(NamedTuple):
    """Some names of an event: the tags that they raise in an index, and what is wrong with others.

    A name with a problem is one that no page can have, so that leaving it out costs nothing.
    """

    tags: list[str]
    problems: list[Problem]


class Invalidation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What changed. `hard` makes pages unusable, `soft` lets them be served while one refreshes."""

    tags: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    mode: str = "hard"
    reason: str = ""
    mark: str = ""  # of a mark alone: its id

    def index_tags(self) -> frozenset[str]:
        """Return the canonical tags that this event raises in an index."""
        return frozenset(chain.from_iterable(part.tags for part in self.parts()))

    def parts(self) -> Iterator[Part]:
        """Yield the names in parts, each of which takes little time, whatever stands in them.

        So whoever reads an event from elsewhere can let others run in between.
        """
        if len(self.tags) <= _PART_NAMES_MAX and not self.paths:
            plain = plain_tags(self.tags)
            if plain is not None:
                yield Part(plain, [])
                return
        part, names, chars = Part([], []), 0, 0
        for field, given, read in (
            ("tags", self.tags, event_tag), ("paths", self.paths, event_path),
        ):  # fmt: skip
            for position, name in enumerate(given):
                names += 1
                chars += len(name)
                if names > _PART_NAMES_MAX or (chars > _PART_CHARS_MAX and names > 1):
                    yield part
                    part, names, chars = Part([], []), 1, len(name)
                tag, problem = read(name)
                if problem is None:
                    part.tags.append(tag)
                else:
                    part.problems.append(Problem(field, position, problem))
        yield part

    def without(self, problems: Collection[Problem]) -> "Invalidation":
        """Return this event without the names that have `problems`."""
        bad = {(problem.field, problem.position) for problem in problems}
        return msgspec.structs.replace(
            self,
            tags=tuple(tag for at, tag in enumerate(self.tags) if ("tags", at) not in bad),
            paths=tuple(path for at, path in enumerate(self.paths) if ("paths", at) not in bad),
        )

    @property
    def hard(self) -> bool:
        """Whether pages become unusable; a mode that is not known counts as hard."""
        return self.mode != "soft"


UNREADABLE = Invalidation(tags=(EVERYTHING,))
"""What an event that `decode` refuses counts as: it may have named anything."""


def mark_body(mark_id: str) -> bytes:
    """Return the body of a mark: it names nothing, so it moves positions and no more (rule 8)."""
    return _encoder.encode(Invalidation(mark=mark_id))


class _Names(msgspec.Struct):
    """What is read of an event whose other fields have types that are not known."""

    tags: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None


_decoder = msgspec.json.Decoder(Invalidation)
_names_decoder = msgspec.json.Decoder(_Names)
_encoder = msgspec.json.Encoder()


def _kind(value: object) -> str:
    return type(value).__name__


def names(field: str, given: Iterable[str]) -> tuple[str, ...]:
    """Return the tags or paths that are `given` for `field` of an event.

    Raises `InvalidEventError` for a plain string, and for what is no collection.
    """
    if isinstance(given, str | bytes):
        raise InvalidEventError(
            field,
            f"expected a tuple or list of strings, got {_kind(given)} alone: write [{given!r}]",
        )
    if not isinstance(given, Iterable):
        raise InvalidEventError(field, f"expected several strings, got {_kind(given)}")
    return tuple(given)


def check(event: Invalidation) -> None:
    """Raise `InvalidEventError` if `event` must not be published, `TypeError` if it is none."""
    encode(event)


def checking(event: Invalidation) -> Iterator[None]:
    """Check `event` as `check` does; yield between the parts of its names.

    Raises `InvalidEventError` and `TypeError`, as `check`.
    """
    if not isinstance(event, Invalidation):
        raise TypeError(f"event: expected an Invalidation, got {_kind(event)}")
    _check_types(event)
    if not event.tags and not event.paths:
        raise InvalidEventError("tags", "name at least one tag or path; '*' is everything")
    _check_names_max(event)
    if event.mode not in MODES:
        raise InvalidEventError("mode", f"{event.mode!r} is not one of {', '.join(MODES)}")
    if len(event.reason) > REASON_CHARS_MAX:
        raise InvalidEventError("reason", f"has more than {REASON_CHARS_MAX} characters")
    if not event.reason.isascii() and any("\ud800" <= char <= "\udfff" for char in event.reason):
        raise InvalidEventError("reason", "is not Unicode text")
    _check_size(sum(map(len, chain(event.tags, event.paths))))
    for number, part in enumerate(event.parts()):
        if number:
            yield
        for field, position, reason in part.problems:
            raise InvalidEventError(f"{field}[{position}]", reason)
    body_of(event)


def _check_names_max(event: Invalidation) -> None:
    count = len(event.tags) + len(event.paths)
    if count > NAMES_MAX:
        reason = f"has {count} tags and paths, more than {NAMES_MAX}; send several events"
        raise InvalidEventError("tags", reason)


def _check_size(size: int) -> None:
    if size > EVENT_BYTES_MAX:
        raise InvalidEventError(
            "tags", f"the event has {size} bytes, more than {EVENT_BYTES_MAX}; split it"
        )


def _check_types(event: Invalidation) -> None:
    """Raise `InvalidEventError` for a field whose type nothing has checked: structs do not."""
    for field, given in (("tags", event.tags), ("paths", event.paths)):
        if not isinstance(given, Collection):
            raise InvalidEventError(field, f"expected several strings, got {_kind(given)}")
        for position, name in enumerate(names(field, given)):
            if not isinstance(name, str):
                raise InvalidEventError(
                    f"{field}[{position}]", f"expected a string, got {_kind(name)}"
                )
    if not isinstance(event.reason, str):
        raise InvalidEventError("reason", f"expected a string, got {_kind(event.reason)}")


def encode(event: Invalidation) -> bytes:
    """Return the JSON body of `event`.

    Raises `InvalidEventError` if it must not be published, `TypeError` if it is no `Invalidation`.
    """
    deque(checking(event), maxlen=0)
    return body_of(event)


def body_of(event: Invalidation) -> bytes:
    """Return the JSON body of an event that was checked; raise `InvalidEventError` for its size."""
    body = _encoder.encode(event)
    _check_size(len(body))
    return body


def decode(body: bytes) -> Invalidation:
    """Read an event leniently: unknown fields are ignored, a mode that is not known counts as hard.

    Raises `InvalidEventError` when `body` is no bytes, has too many of them, is not JSON, names too
    much, or when tags and paths cannot be read: then it counts as `UNREADABLE`. A body without
    names (`{}`) is a mark: it moves positions and invalidates nothing.
    """
    try:
        _check_size(len(body))
        try:
            event = _decoder.decode(body)
        except msgspec.ValidationError:
            names = _names_decoder.decode(body)  # rule 9: readable names count, as hard
            event = Invalidation(tags=names.tags or (), paths=names.paths or ())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise InvalidEventError("body", str(error)) from error
    _check_names_max(event)
    return event


def subject_of(source: str = SOURCE) -> str:
    """Return the subject that `source` publishes on; raise `ValueError` if it cannot be in one."""
    if not _SOURCE.fullmatch(source):
        raise ValueError(f"source: {source!r} has characters other than letters, digits, - _ and .")
    return f"{SUBJECT_PREFIX}.{source}"


def headers(event_id: str, source: str, time: datetime) -> dict[str, str]:
    """Return the message headers of an event: CloudEvents 1.0 attributes and `Nats-Msg-Id`."""
    return {
        "Nats-Msg-Id": event_id,
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": source,
        "ce-type": EVENT_TYPE,
        "ce-time": time.isoformat(),
        "content-type": "application/json",
    }

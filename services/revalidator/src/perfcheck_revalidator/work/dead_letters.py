"""Dead letters: messages whose work could not be done, kept in a stream with original and reason.

The original's headers are kept but for those that begin with `Nats-`: to the server they are
orders, and a publisher's `Nats-Expected-Last-Sequence` would keep its letter out of the stream.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec
from asgi_isr.nats import (
    NO_MESSAGE_FOUND,
    STREAM_NOT_FOUND,
    Link,
    RefusedError,
    StoredMessage,
    StoredReply,
    StreamSpec,
)
from asgi_isr.ports import Clock
from perfcheck_contracts import (
    DEAD_LETTER_REASON_HEADER,
    DEAD_LETTER_SEQ_HEADER,
    DEAD_LETTER_SUBJECT_HEADER,
    DEAD_LETTER_SUBJECT_PREFIX,
    DEAD_LETTERS,
    DEAD_LETTERS_STREAM,
    DeadLetter,
)

from perfcheck_revalidator.work.original import Original
from perfcheck_revalidator.work.outlet import Outlet

__all__ = ["BODY_SHOWN_BYTES_MAX", "DeadLetters", "Stored", "letter_headers"]

# Of the original, which its other headers do not tell: what its receipt is known by, and when the
# broker took it.
LETTER_ID_HEADER = "Dead-Letter-Id"
PUBLISHED_HEADER = "Dead-Letter-Published-At"
BODY_SHOWN_BYTES_MAX = 4096
T = TypeVar("T")
_OWN = "dead-letter-"
_DEAD_REASON_CHARS_MAX = 1024
_HEADERS_BYTES_MAX = 8 * 1024
_ROOM_BYTES = 4096  # of a message, for our own headers
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class _Deleted(msgspec.Struct, frozen=True):
    pass


class Stored(NamedTuple):
    """A dead letter as the stream holds it."""

    number: int
    at: datetime
    reason: str
    original: Original

    def shown(self) -> DeadLetter:
        """Return it as HTTP tells it."""
        return DeadLetter(
            number=self.number,
            id=self.original.id,
            seq=self.original.seq,
            subject=self.original.subject,
            reason=self.reason,
            at=self.at,
            body=self.original.body[:BODY_SHOWN_BYTES_MAX].decode(errors="replace"),
        )


class DeadLetters:
    """The stream of dead letters, which is created when the first one comes."""

    def __init__(self, link: Link, clock: Clock) -> None:
        spec = StreamSpec(**DEAD_LETTERS._asdict())
        self.outlet = Outlet(link, DEAD_LETTERS_STREAM, clock, spec=spec)
        self._link = link

    async def add(self, original: Original, reason: str, *, instead_of: int | None = None) -> None:
        """Keep `original`; returns when the stream has it, however long that takes.

        The same original within ten minutes is kept once, so that a message that is handed out
        again does not double its letter. `instead_of` is the number of a letter that was retried.
        """
        client = await self._link.client()
        room = client.max_payload - _ROOM_BYTES - _HEADERS_BYTES_MAX
        headers = letter_headers(original, reason)
        suffix = "" if instead_of is None else f"-retry-{instead_of}"
        # Of the same event a retry or another reason is another letter; the same again is not.
        digest = hashlib.blake2b(f"{original.id} {reason}".encode(), digest_size=8).hexdigest()
        headers["Nats-Msg-Id"] = f"seq-{original.seq}-{digest}{suffix}"
        subject = f"{DEAD_LETTER_SUBJECT_PREFIX}.{original.source}"
        await self.outlet.put(subject, original.body[:room], headers)

    async def get(self, number: int) -> Stored | None:
        """Return the letter `number`, or None; raises `LogUnavailableError`."""
        return await self._get({"seq": number})

    async def after(self, number: int, limit: int) -> list[Stored]:
        """Return the first `limit` letters above `number`; raises `LogUnavailableError`."""
        found: list[Stored] = []
        while len(found) < limit:
            question = {"seq": number + 1, "next_by_subj": f"{DEAD_LETTER_SUBJECT_PREFIX}.>"}
            stored = await self._get(question)
            if stored is None:
                break
            found.append(stored)
            number = stored.number
        return found

    async def remove(self, number: int) -> None:
        """Remove a letter, which may be gone already; raises `LogUnavailableError`."""
        try:
            await self._ask("DELETE", {"seq": number}, _Deleted)
        except RefusedError:
            if await self.get(number) is not None:  # another replica may have been faster
                raise

    async def _get(self, question: Mapping[str, object]) -> Stored | None:
        try:
            found = await self._ask("GET", question, StoredReply)
        except RefusedError as error:
            if error.code in {NO_MESSAGE_FOUND, STREAM_NOT_FOUND}:
                return None
            raise
        return _stored(found.message)

    async def _ask(self, verb: str, question: Mapping[str, object], answer: type[T]) -> T:
        subject = f"$JS.API.STREAM.MSG.{verb}.{DEAD_LETTERS_STREAM}"
        return await self._link.request(subject, msgspec.json.encode(question), answer)


def letter_headers(original: Original, reason: str) -> dict[str, str]:
    """Return the headers of a dead letter: the original's, as far as they may stand, and ours."""
    kept: dict[str, str] = {}
    size = 0
    for name, value in original.headers.items():
        plain = _plain(value)
        size += len(name) + len(plain.encode()) + 4
        lowered = name.lower()
        foreign = not lowered.startswith(("nats-", _OWN)) and _HEADER_NAME.fullmatch(name)
        if foreign and size <= _HEADERS_BYTES_MAX:
            kept[name] = plain
    return {
        **kept,
        DEAD_LETTER_REASON_HEADER: _plain(reason)[:_DEAD_REASON_CHARS_MAX],
        DEAD_LETTER_SEQ_HEADER: str(original.seq),
        DEAD_LETTER_SUBJECT_HEADER: original.subject,
        LETTER_ID_HEADER: original.id,
        PUBLISHED_HEADER: original.published_at.isoformat(),
    }


def _plain(text: str) -> str:
    """Return `text` as one line that a header can hold."""
    return _CONTROL.sub(" ", text).encode(errors="replace").decode().strip()


def _stored(message: StoredMessage) -> Stored:
    lines = message.hdrs.decode(errors="replace").split("\r\n")[1:]  # the first is the version
    headers = {
        name.strip(): value.strip()
        for name, colon, value in (line.partition(":") for line in lines)
        if colon
    }
    own = {name: headers.pop(name, "") for name in _OWN_HEADERS}
    headers.pop("Nats-Msg-Id", None)
    # A publisher that gave its id as `Nats-Msg-Id` alone is known by it again.
    headers.setdefault("ce-id", own[LETTER_ID_HEADER])
    seq, at = own[DEAD_LETTER_SEQ_HEADER], message.stored_at
    return Stored(
        number=message.seq,
        at=at,
        reason=own[DEAD_LETTER_REASON_HEADER],
        original=Original(
            seq=int(seq) if seq.isdigit() else 0,
            subject=own[DEAD_LETTER_SUBJECT_HEADER],
            headers=headers,
            body=message.data,
            published_at=_time(own[PUBLISHED_HEADER], at),
        ),
    )


_OWN_HEADERS = (
    DEAD_LETTER_REASON_HEADER,
    DEAD_LETTER_SEQ_HEADER,
    DEAD_LETTER_SUBJECT_HEADER,
    LETTER_ID_HEADER,
    PUBLISHED_HEADER,
)


def _time(text: str, otherwise: datetime) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return otherwise

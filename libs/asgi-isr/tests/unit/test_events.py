"""The invalidation event: what may be published, and how leniently it is read."""

import json
from datetime import UTC, datetime

import pytest
from asgi_isr.errors import InvalidEventError
from asgi_isr.events import (
    EVENT_BYTES_MAX,
    EVENT_TYPE,
    MARK_REQUEST_SUBJECT,
    MARK_SUBJECT_PREFIX,
    NAMES_MAX,
    REASON_CHARS_MAX,
    SUBJECT_PREFIX,
    Invalidation,
    check,
    decode,
    encode,
    headers,
)


def test_body_is_plain_json_without_defaults() -> None:
    """The body is what any publisher would write by hand."""
    body = encode(Invalidation(tags=("currency:usd",), paths=("/pairs/usd/*",)))
    assert json.loads(body) == {"tags": ["currency:usd"], "paths": ["/pairs/usd/*"]}


@pytest.mark.parametrize(
    "event",
    [
        Invalidation(tags=("a",)),
        Invalidation(paths=("/a",)),
        Invalidation(tags=("*",), mode="soft", reason="nightly import"),
        Invalidation(tags=tuple(f"t{n}" for n in range(NAMES_MAX))),
        Invalidation(tags=("a",), reason="x" * REASON_CHARS_MAX),
    ],
)
def test_event_survives_encoding(event: Invalidation) -> None:
    """What was encoded is read back as it was."""
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    ("event", "field", "reason"),
    [
        (Invalidation(), "tags", "at least one"),
        (Invalidation(reason="because"), "tags", "at least one"),
        (Invalidation(tags=("a",), mode="medium"), "mode", "hard, soft"),
        (Invalidation(tags=("a", "b,c")), "tags[1]", "','"),
        (Invalidation(tags=("a",), paths=("/a", "b")), "paths[1]", "start"),
        (Invalidation(tags=("a",), reason="x" * (REASON_CHARS_MAX + 1)), "reason", "1024"),
        (
            Invalidation(tags=("a",) * NAMES_MAX, paths=("/a",)),
            "tags",
            "send several events",
        ),
    ],
)
def test_refusal_names_the_field(event: Invalidation, field: str, reason: str) -> None:
    """An event that must not be published is refused with its field and how to correct it."""
    with pytest.raises(InvalidEventError) as refused:
        check(event)
    assert refused.value.field == field
    assert reason in refused.value.reason
    assert str(refused.value) == f"{field}: {refused.value.reason}"
    with pytest.raises(InvalidEventError):
        encode(event)


def test_event_of_too_many_bytes_is_refused() -> None:
    """Valid names can still be too much for one message."""
    path = "/" + "ü" * 600
    event = Invalidation(paths=tuple(f"{path}{n}" for n in range(NAMES_MAX)))
    with pytest.raises(InvalidEventError, match="split"):
        encode(event)
    assert len(json.dumps(event.paths)) > EVENT_BYTES_MAX


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (b"{}", Invalidation()),
        (b'{"tags":["a"]}', Invalidation(tags=("a",))),
        (b'{"tags":["a"],"colour":"blue"}', Invalidation(tags=("a",))),
        (b' {"paths" : [ "/a" ] , "mode":"soft"}\n', Invalidation(paths=("/a",), mode="soft")),
        (b'{"tags":["a"],"mode":"melt"}', Invalidation(tags=("a",), mode="melt")),
        (b'{"tags":["a b"]}', Invalidation(tags=("a b",))),
        (b'{"tags":["a"],"mode":7,"reason":null,"paths":null}', Invalidation(tags=("a",))),
    ],
)
def test_reading_is_lenient(body: bytes, event: Invalidation) -> None:
    """Unknown fields, unknown modes and names out of limits are read, not refused."""
    assert decode(body) == event


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]", b"null", b'"a"', b'{"tags":"a"}', b'{"tags":[1]}', b"\xff\xfe", b'{"tags":'],
)
def test_unreadable_body_is_an_invalid_event(body: bytes) -> None:
    """A body that is no event raises one kind of error, whatever is wrong with it."""
    with pytest.raises(InvalidEventError):
        decode(body)


@pytest.mark.parametrize(("mode", "hard"), [("hard", True), ("soft", False), ("melt", True)])
def test_only_soft_is_soft(mode: str, *, hard: bool) -> None:
    """A mode that is not known counts as hard (rule 9)."""
    assert Invalidation(tags=("a",), mode=mode).hard is hard


def test_mark_raises_no_tags() -> None:
    """The body of a mark is an event that invalidates nothing."""
    assert decode(b"{}").index_tags() == frozenset()


def test_event_raises_canonical_tags() -> None:
    """Tags and paths of an event arrive in the index in canonical form."""
    event = Invalidation(tags=("Currency:USD",), paths=("/Pairs/*",))
    assert event.index_tags() == {"currency:usd", "path:/pairs/*"}


def test_headers_are_cloudevents_and_a_message_id() -> None:
    """The headers carry CloudEvents 1.0 in binary mode and the id that the broker dedups by."""
    found = headers("id-1", "api", datetime(2026, 10, 30, 12, 0, 1, 5000, tzinfo=UTC))
    assert found == {
        "Nats-Msg-Id": "id-1",
        "ce-specversion": "1.0",
        "ce-id": "id-1",
        "ce-source": "api",
        "ce-type": EVENT_TYPE,
        "ce-time": "2026-10-30T12:00:01.005000+00:00",
        "content-type": "application/json",
    }


def test_requests_for_marks_are_not_part_of_the_log() -> None:
    """A request for a mark lies outside the subjects of the stream: it must not be stored."""
    assert not MARK_REQUEST_SUBJECT.startswith((SUBJECT_PREFIX + ".", MARK_SUBJECT_PREFIX + "."))


def test_body_nested_without_end_cannot_be_read() -> None:
    """Brackets beyond what the decoder follows are an unreadable event, which is everything."""
    body = b'{"tags":["a"],"more":' + b"[" * 30_000 + b"]" * 30_000 + b"}"

    with pytest.raises(InvalidEventError, match="recursion"):
        decode(body)

"""The table of NATS's users: who may publish what, and that documents and library agree."""

import fnmatch
import json
import re
from pathlib import Path

import pytest
from asgi_isr import events, reports
from perfcheck_embedded.backends.nats_permissions import (
    ANSWER_S_MAX,
    API_USER,
    FRONTEND_BFF_USER,
    REVALIDATOR_USER,
    NatsUser,
    publisher,
    users,
)

DOCUMENT = Path(__file__).parents[4] / "docs/identity.md"
EVERYBODY = users(["cli", "shop"])


def may(subjects: tuple[str, ...], subject: str) -> bool:
    """Return whether NATS's wildcards in `subjects` allow `subject`."""
    for pattern in subjects:
        whole = pattern.split(".")
        parts = subject.split(".")
        if whole[-1] == ">":
            whole = whole[:-1]
            parts, rest = parts[: len(whole)], parts[len(whole) :]
            if not rest:
                continue
        if len(whole) == len(parts) and all(
            fnmatch.fnmatchcase(part, each) for each, part in zip(whole, parts, strict=True)
        ):
            return True
    return False


def publishers_of(subject: str) -> list[str]:
    """Return the names of those who may publish to `subject`."""
    return [user.name for user in EVERYBODY if may(user.publish, subject)]


def test_the_subjects_are_those_of_the_library() -> None:
    """What the services use is what the table allows."""
    assert may(API_USER.publish, f"{events.SUBJECT_PREFIX}.api")
    assert may(API_USER.publish, f"{events.MARK_SUBJECT_PREFIX}.api")
    assert may(API_USER.subscribe, events.MARK_REQUEST_SUBJECT)
    assert may(FRONTEND_BFF_USER.publish, events.MARK_REQUEST_SUBJECT)
    for prefix in (
        reports.INSTANCES_SUBJECT_PREFIX,
        reports.POSITIONS_SUBJECT_PREFIX,
        reports.POPULAR_SUBJECT_PREFIX,
    ):
        assert may(FRONTEND_BFF_USER.publish, f"{prefix}.bff-1")
        assert may(REVALIDATOR_USER.subscribe, f"{prefix}.bff-1")


@pytest.mark.parametrize("source", ["api", "cli", "shop"])
def test_an_invalidation_is_published_by_its_source_alone(source: str) -> None:
    """Nobody publishes under the name of another."""
    assert publishers_of(f"cache.invalidations.v1.{source}") == [source]


@pytest.mark.parametrize("source", ["other", "frontend-bff", "revalidator", "api.x"])
def test_other_sources_are_nobodys(source: str) -> None:
    """A source without a user cannot be used."""
    assert publishers_of(f"cache.invalidations.v1.{source}") == []


def test_only_the_api_renews_leases() -> None:
    """Marks come from the api's relay."""
    assert publishers_of("cache.marks.v1.api") == ["api"]
    assert publishers_of("cache.marks.v1.frontend-bff") == []


@pytest.mark.parametrize("action", ["CREATE", "UPDATE", "DELETE"])
def test_only_the_api_changes_the_log(action: str) -> None:
    """The log is made and remade by the relay that keeps its identity."""
    assert publishers_of(f"$JS.API.STREAM.{action}.{events.STREAM}") == ["api"]


@pytest.mark.parametrize("action", ["PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE"])
def test_nobody_takes_events_out_of_the_log(action: str) -> None:
    """Neither all nor one of them."""
    assert publishers_of(f"$JS.API.STREAM.{action}.{events.STREAM}") == []


def test_nobody_hears_the_answers_of_another() -> None:
    """Each user's inboxes have a prefix of their own, and no subscription covers another's."""
    for user in EVERYBODY:
        heard = user.configuration("x")["permissions"]["subscribe"]["allow"]  # type: ignore[index]
        for other in EVERYBODY:
            assert may(tuple(heard), f"_INBOX_{other.name}.abc.1") == (user is other)
        assert not may(tuple(heard), "_INBOX.abc.1")


def test_only_the_api_answers_requests() -> None:
    """Once each, as late as a mark may come."""
    allowed = {
        user.name: user.configuration("x")["permissions"].get("allow_responses")  # type: ignore[attr-defined]
        for user in EVERYBODY
    }
    assert allowed.pop("api") == {"max": 1, "expires": f"{ANSWER_S_MAX}s"}
    assert set(allowed.values()) == {None}


def _documented() -> list[object]:
    block = re.search(r"```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert block is not None
    found = json.loads(block[1])
    return list(found["accounts"]["PERFCHECK"]["users"])


@pytest.mark.parametrize("user", users(["cli"]), ids=lambda user: user.name)
def test_the_document_shows_the_table(user: NatsUser) -> None:
    """The configuration in docs/identity.md is what the embedded server runs with."""
    variable = f"${user.name.upper().replace('-', '_')}_PASSWORD"
    assert user.configuration(variable) in _documented()


def test_the_document_shows_nobody_else() -> None:
    """Nor has anybody more."""
    assert len(_documented()) == len(users(["cli"]))
    assert publisher("cli") == users(["cli"])[-1]

"""The table of NATS's accounts: what crosses between them, and that documents and library agree."""

import json
import re
from pathlib import Path

import pytest
from asgi_isr import events, reports
from perfcheck_contracts import LOG_API
from perfcheck_embedded import EmbeddedError
from perfcheck_embedded.backends.nats_accounts import LOG, PAGES, WORK, accounts
from perfcheck_embedded.backends.nats_configuration import ANSWER_S_MAX, configuration

DOCUMENT = Path(__file__).parents[4] / "docs/identity.md"
EVERY = {account.name: account for account in accounts(["cli", "shop"])}
CROSSING = {
    (name, importer, export.kind, export.subject)
    for name, account in EVERY.items()
    for export in account.exports
    for importer in export.importers
}


def services(importer: str) -> set[str]:
    """Return what an account may ask of another."""
    return {subject for _, to, kind, subject in CROSSING if (to, kind) == (importer, "service")}


def test_the_logs_account_imports_nothing() -> None:
    """What is said there is said by its own user, or came in by an export that it names."""
    assert not [crossing for crossing in CROSSING if crossing[1] == LOG]


@pytest.mark.parametrize("source", ["cli", "shop"])
def test_a_publisher_can_reach_nothing_but_its_own_subject(source: str) -> None:
    """It imports one service, hears nothing, and has no JetStream to have something delivered."""
    account = f"PUB_{source}"
    assert services(account) == {f"{events.SUBJECT_PREFIX}.{source}"}
    assert not [each for each in CROSSING if each[1] == account and each[2] == "stream"]
    assert not EVERY[account].exports
    assert not EVERY[account].jetstream


def test_an_invalidation_is_exported_to_its_publisher_alone() -> None:
    """No account may publish under the name of another, and no wildcard lets it."""
    for _, importer, _, subject in CROSSING:
        if subject.startswith(f"{events.SUBJECT_PREFIX}."):
            assert importer == f"PUB_{subject.removeprefix(f'{events.SUBJECT_PREFIX}.')}"


def test_marks_are_exported_to_nobody() -> None:
    """What makes pages warmer is said by the api; others may ask it to."""
    exported = {subject for _, _, _, subject in CROSSING}
    assert not [each for each in exported if each.startswith(events.MARK_SUBJECT_PREFIX)]
    assert events.MARK_REQUEST_SUBJECT in services(PAGES)


def test_of_jetstream_only_reading_and_the_named_consumers_are_exported() -> None:
    """Nobody else makes, changes or empties a stream, or makes a consumer of one."""
    verbs = {
        subject.removeprefix("$JS.API.")
        for _, _, _, subject in CROSSING
        if subject.startswith("$JS.API")
    }
    assert verbs == {
        "STREAM.INFO.CACHE_INVALIDATIONS",
        "STREAM.MSG.GET.CACHE_INVALIDATIONS",
        "DIRECT.GET.CACHE_INVALIDATIONS",
        "STREAM.INFO.CACHE_INSTANCES",
        "STREAM.MSG.GET.CACHE_INSTANCES",
        "CONSUMER.MSG.NEXT.CACHE_INVALIDATIONS.revalidator",
        "CONSUMER.MSG.NEXT.CACHE_INVALIDATIONS.revalidator-again",
    }


def test_a_direct_get_tells_page_servers_of_the_log_alone() -> None:
    """A message of another stream would come with that stream's sequence, as if of the log."""
    gets = {each for each in services(PAGES) if "GET" in each}
    assert gets == {
        f"$JS.API.STREAM.MSG.GET.{events.STREAM}",
        f"$JS.API.DIRECT.GET.{events.STREAM}",
    }
    assert not EVERY[PAGES].jetstream


def test_what_page_servers_tell_is_heard_by_both_observers() -> None:
    """Registrations and positions by the api and the revalidator, popular pages by the latter."""
    heard = {subject for _, to, kind, subject in CROSSING if (to, kind) == (WORK, "stream")}
    for prefix in (reports.INSTANCES_SUBJECT_PREFIX, reports.POSITIONS_SUBJECT_PREFIX):
        assert f"{prefix}.*" in services(PAGES)
        assert f"{prefix}.*" in heard
    assert f"{reports.POPULAR_SUBJECT_PREFIX}.*" in heard


def test_imports_go_in_one_direction() -> None:
    """No circle of accounts, in which an answer could come back as something said."""
    order = [LOG, PAGES, WORK]
    for exporter, importer, _, _ in CROSSING:
        assert importer.startswith("PUB_") or order.index(exporter) < order.index(importer)


def test_the_revalidators_jetstream_is_bounded() -> None:
    """One stream, in files, no larger than the dead letters may be."""
    limits = EVERY[WORK].jetstream
    assert not isinstance(limits, str)
    assert (limits["max_streams"], limits["max_mem"]) == (1, 0)
    assert 0 < limits["max_file"] <= 1 << 27


def test_a_service_subscribes_to_what_it_needs_and_its_own_inboxes() -> None:
    """A second line: page servers share an account, and cannot listen to each other's answers."""
    every = configuration(list(EVERY.values()), dict.fromkeys(_users(), "x"))
    allowed = {
        user["user"]: user["permissions"]
        for account in every.values()
        for user in account["users"]  # type: ignore[index]
    }
    assert set(allowed["frontend-bff"]["publish"]["allow"]) == {
        f"{LOG_API}.>",
        "cache.mark-requests.v1",
        "cache.instances.v1.*",
        "cache.positions.v1.*",
        "cache.popular.v1.*",
    }
    assert set(allowed["frontend-bff"]["subscribe"]["allow"]) == {
        "cache.log.v1.>",
        "_INBOX_frontend-bff.>",
    }
    assert allowed["api"].pop("allow_responses") == {"max": 1, "expires": f"{ANSWER_S_MAX}s"}
    assert not [name for name, permissions in allowed.items() if "allow_responses" in permissions]


@pytest.mark.parametrize("name", ["", "api", "test", "a.b", "a b", "*", ">", "é", "x" * 65, "-a"])
def test_a_name_that_cannot_be_a_publishers_is_refused(name: str) -> None:
    """Nor one that a service has; what is expected is named."""
    with pytest.raises(EmbeddedError, match="expected up to 64 letters"):
        accounts(["cli", name])


def _users() -> list[str]:
    return [user.name for account in accounts(["cli", "shop"]) for user in account.users]


def test_the_document_shows_the_table() -> None:
    """The configuration in docs/identity.md is what the embedded server runs with."""
    block = re.search(r"```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert block is not None
    documented = json.loads(block[1])["accounts"]
    every = accounts(["cli"])
    passwords = {
        user.name: f"${user.name.upper().replace('-', '_')}_PASSWORD"
        for account in every
        for user in account.users
    }
    assert documented == configuration(every, passwords)


def test_the_document_names_tests_that_exist() -> None:
    """What it says of a thief or a reload is tried."""
    root = DOCUMENT.parents[1]
    named = set(re.findall(r"`(test_[a-z_]+)`", DOCUMENT.read_text()))
    assert len(named) > 10
    folders = ("libs/embedded/tests/integration", "services/api/tests/integration")
    texts = [path.read_text() for folder in folders for path in (root / folder).glob("*.py")]
    assert {name for name in named if not any(f"def {name}(" in text for text in texts)} == set()

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest
from asgi_isr import Invalidation
from asgi_isr.coherence import Progress, Reached
from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import STREAM
from asgi_isr.logs.nats import NatsLog
from asgi_isr.reports import PopularPage, PopularPages
from asgi_isr.testing import eventually
from litestar.testing import AsyncTestClient
from nats.aio.client import Client
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import CdnPurge
from perfcheck_embedded import Servers, free_port
from perfcheck_revalidator.app import create_app
from perfcheck_revalidator.cdn.port import CdnError, PurgeEvent
from perfcheck_revalidator.settings import Settings

pytestmark = pytest.mark.integration

KEY = Secret("k" * 32)
SUBJECT = "cache.invalidations.v1.shop"


class LiveSet:
    """Instances that apply everything at once, until `held` says how far they may go."""

    def __init__(self, *instances: str) -> None:
        self.instances = instances or ("bff-1", "bff-2")
        self.held: int | None = None
        self.asked: list[int] = []
        self._moved = asyncio.Event()

    async def run(self) -> None:
        """Do nothing until cancelled."""
        await asyncio.Event().wait()

    async def wait(self, reached: Reached, timeout_s: float) -> Progress:
        """Wait until `held` allows it."""
        self.asked.append(reached.seq)
        try:
            async with asyncio.timeout(timeout_s):
                while self.held is not None and self.held < reached.seq:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            pass
        return self.applied(reached)

    def hold(self, position: int | None) -> None:
        """Let instances go up to `position`, or on without end."""
        self.held = position
        self._moved.set()

    def applied(self, reached: Reached) -> Progress:
        """Say who has applied it."""
        if self.held is not None and self.held < reached.seq:
            return Progress({}, self.instances, (), everywhere=False)
        return Progress(dict.fromkeys(self.instances, time.monotonic()), (), (), everywhere=True)

    async def unhealthy_reason(self) -> str | None:
        """All is well."""
        return None


class Edge:
    """A CDN that writes down what it is asked, and fails as often as it is told to."""

    name = "edge"

    def __init__(self, *failures: CdnError) -> None:
        self.purged: list[tuple[PurgeEvent, bool]] = []
        self.failures = list(failures)

    async def purge(self, events: Sequence[PurgeEvent], *, again: bool) -> list[CdnPurge]:
        """Take the purge, or raise the next failure."""
        if self.failures:
            raise self.failures.pop(0)
        self.purged += [(event, again) for event in events]
        return [
            CdnPurge(provider=self.name, again=again, reference=f"purge-{len(self.purged)}")
        ] * len(events)

    async def completed(self, purge: CdnPurge) -> CdnPurge | None:
        """Say that it is done."""
        return msgspec.structs.replace(purge, status="completed")

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def app_settings(settings: Settings) -> Settings:
    """Give settings with a token key and a short lease."""
    return msgspec.structs.replace(settings, token_key=KEY, lease_s=1.0)


def token() -> dict[str, str]:
    """Return the header of who may see dead letters."""
    keys = Settings(nats_url=KEY, valkey_url=KEY, token_key=KEY).token_keys()
    issued = keys.issue(subject="test", audience="revalidator", scopes=["dead-letters"])
    return {"Authorization": f"Bearer {issued}"}


async def test_an_event_ends_with_one_receipt(
    app_settings: Settings, publisher: NatsLog, receiver: Any
) -> None:
    """An event that is applied everywhere is done; its receipt names what it said and where."""
    async with AsyncTestClient(create_app(app_settings, observer=LiveSet("a", "b"))):
        event = Invalidation(tags=("currency:usd",), reason="why")
        seq = await publisher.publish(event, "api", "id-1")
        receipt = await receiver.stage("id-1", "done")
    assert (receipt.seq, receipt.source, receipt.tags) == (seq, "api", ["currency:usd"])
    assert receipt.committed_at is not None
    assert receipt.applied is not None
    assert set(receipt.applied.each or ()) == {"a", "b"}


async def test_what_cannot_be_read_is_a_dead_letter_and_an_unknown_mode_is_hard(
    app_settings: Settings, client: Client, receiver: Any
) -> None:
    """An unreadable body is kept with its reason; readable tags count as hard."""
    headers = {
        "ce-id": "bad",
        "Status": "404",
        "Nats-Expected-Stream": STREAM,
        "Custom": "kept",
    }
    await client.jetstream().publish(SUBJECT, b"", headers=headers)
    await client.jetstream().publish(
        SUBJECT, b'{"tags":["a"],"mode":"sometimes"}', headers={"Nats-Msg-Id": "odd"}
    )
    async with AsyncTestClient(create_app(app_settings, observer=LiveSet())) as http:
        dead = await receiver.stage("bad", "dead")
        assert dead.dead.startswith("unreadable")
        odd = await receiver.stage("odd", "done")
        assert (odd.mode, odd.tags) == ("hard", ["a"])
        assert (await http.get("/api/v1/dead-letters")).status_code == 401
        listed = (await http.get("/api/v1/dead-letters", headers=token())).json()
        [letter] = listed["dead_letters"]
        assert (letter["id"], letter["subject"], letter["seq"]) == ("bad", SUBJECT, dead.seq)
        address = f"/api/v1/dead-letters/{letter['number']}/retry"
        report = (await http.post(address, headers=token())).json()
        assert report["done"] is False
        assert report["reason"] == letter["reason"]
        missing = await http.post("/api/v1/dead-letters/99/retry", headers=token())
        assert missing.status_code == 404
        metrics = (await http.get("/metrics")).text
        assert "perfcheck_revalidator_dead_letters_total 1.0" in metrics


@pytest.mark.parametrize(
    ("body", "tags", "paths", "reason"),
    [
        (b'{"tags":["a","b,c"],"paths":["/x//y","/x"]}', ("a",), ("/x",), "2 names were left out"),
        (b'{"paths":["/%' + b"25" * 200_000 + b'"]}', ("*",), (), "65536"),
        (b'{"tags":[' + b'"",' * 20_000 + b'""]}', ("*",), (), "20001 tags and paths"),
        (b'{"tags":["a",7]}', ("*",), (), "Expected `str`, got `int`"),
    ],
    ids=["two bad names", "400 KB", "too many names", "no string"],
)
async def test_what_cannot_be_read_whole_is_purged_and_kept(
    app_settings: Settings, client: Client, receiver: Any, *,
    body: bytes, tags: tuple[str, ...], paths: tuple[str, ...], reason: str,
) -> None:  # fmt: skip
    """The CDN is purged as the page cache applied it, and a dead letter says what is missing."""
    edge = Edge()
    await client.jetstream().publish(SUBJECT, body, headers={"ce-id": "bad"})
    async with AsyncTestClient(create_app(app_settings, observer=LiveSet(), cdns=[edge])):
        receipt = await receiver.stage("bad", "dead")
    assert reason in receipt.dead
    assert [(purge.tags, purge.paths) for purge, _ in edge.purged[:1]] == [(tags, paths)]
    assert [purge.status for purge in receipt.cdn] == ["completed"]


async def test_the_purge_waits_until_it_is_applied_everywhere(
    app_settings: Settings, publisher: NatsLog, receiver: Any
) -> None:
    """The CDN is not asked before the last instance has applied the event."""
    live, edge = LiveSet(), Edge()
    live.hold(0)
    patient = msgspec.structs.replace(app_settings, lease_s=30.0)
    async with AsyncTestClient(create_app(patient, observer=live, cdns=[edge])):
        await publisher.publish(Invalidation(tags=("A",), paths=("/x",)), "api", "id-1")
        await eventually(lambda: live.asked, timeout_s=10)
        assert edge.purged == []
        live.hold(None)
        receipt = await receiver.stage("id-1", "done")
    assert edge.purged[0][0].tags == ("a",)
    assert [purge.status for purge in receipt.cdn] == ["completed"]


async def test_a_refused_purge_is_a_dead_letter_that_can_be_done_later(
    app_settings: Settings, publisher: NatsLog, receiver: Any
) -> None:
    """A failure for good makes a dead letter; two retries at once do it and remove it once."""
    edge = Edge(CdnError("too expensive", permanent=True))
    async with AsyncTestClient(create_app(app_settings, observer=LiveSet(), cdns=[edge])) as http:
        await publisher.publish(Invalidation(tags=("a",)), "api", "id-1")
        dead = await receiver.stage("id-1", "dead")
        assert dead.dead == "too expensive"
        [letter] = (await http.get("/api/v1/dead-letters", headers=token())).json()["dead_letters"]
        address = f"/api/v1/dead-letters/{letter['number']}/retry"
        answers = await asyncio.gather(
            http.post(address, headers=token()), http.post(address, headers=token())
        )
        assert {answer.status_code for answer in answers} <= {200, 404}
        assert any(answer.json().get("done") for answer in answers)
        listed = (await http.get("/api/v1/dead-letters", headers=token())).json()
        assert listed == {"dead_letters": [], "next": None}
        await eventually(lambda: not receiver.receipts["id-1"].dead, timeout_s=10)
    assert receiver.receipts["id-1"].stage == "done"


async def test_a_purge_that_fails_for_now_is_tried_again(
    app_settings: Settings, publisher: NatsLog, receiver: Any
) -> None:
    """A throttled CDN gets the event again, and it is done in the end."""
    edge = Edge(CdnError("slow down", retry_after_s=0.1))
    async with AsyncTestClient(create_app(app_settings, observer=LiveSet(), cdns=[edge])):
        await publisher.publish(Invalidation(tags=("a",)), "api", "id-1")
        await receiver.stage("id-1", "done")
    assert len(edge.purged) == 1


async def test_a_bff_that_is_down_blocks_nothing(
    app_settings: Settings, instances: NatsLog, publisher: NatsLog, receiver: Any
) -> None:
    """Popular pages count as failed; the event is done all the same."""
    live = LiveSet()
    live.hold(0)
    down = msgspec.structs.replace(
        app_settings, bff_url=f"http://127.0.0.1:{free_port()}", lease_s=30.0
    )
    async with AsyncTestClient(create_app(down, observer=live)) as http:
        seq = await publisher.publish(Invalidation(tags=("a",)), "api", "id-1")
        pages = PopularPages(instance="a", seq=seq, pages=[PopularPage(path="/", hits=3)])
        for _ in range(10):  # nothing tells when it is heard; said again, it counts once
            await instances.popular(pages)
            await asyncio.sleep(0.05)
        live.hold(None)
        await receiver.stage("id-1", "done")
        await eventually(lambda: receiver.receipts["id-1"].warmed, timeout_s=10)
        assert (await http.get("/api/health")).json()["checks"]["bff"]["status"] == "warn"
    warmed = receiver.receipts["id-1"].warmed
    assert warmed is not None
    assert (warmed.pages, warmed.failed) == (0, 1)


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_broker_that_was_away_costs_no_event(
    how: str, app_settings: Settings, running: Servers, publisher: NatsLog, receiver: Any
) -> None:
    """What was published before and after the broker was away ends with one receipt each."""
    async with AsyncTestClient(create_app(app_settings, observer=LiveSet())) as http:
        for number in range(50):
            await publisher.publish(Invalidation(tags=("a",)), "api", f"before-{number}")
        await (running.kill("nats") if how == "killed" else running.pause("nats"))

        async def noticed() -> bool:
            health = (await http.get("/api/health")).json()
            return bool(health["checks"]["work"]["status"] != "pass")

        await eventually(noticed, timeout_s=20)
        await (running.restart("nats") if how == "killed" else running.resume("nats"))
        await eventually(
            lambda: publisher.publish(Invalidation(tags=("a",)), "api", "after", again=True),
            timeout_s=20,
            ignoring=(LogUnavailableError,),
        )
        await receiver.stage("after", "done", within_s=40)
        for number in range(50):
            await receiver.stage(f"before-{number}", "done", within_s=40)
    assert len(receiver.receipts) == 51


async def test_a_recreated_log_is_worked_on(
    app_settings: Settings,
    client: Client,
    set_up_log: Callable[[], Awaitable[None]],
    publisher: NatsLog,
    receiver: Any,
) -> None:
    """The consumer went with the log; the api makes both again, and new events are done."""
    async with AsyncTestClient(create_app(app_settings, observer=LiveSet())):
        await publisher.publish(Invalidation(tags=("a",)), "api", "old")
        await receiver.stage("old", "done")
        await client.jetstream().delete_stream(STREAM)
        await set_up_log()
        await publisher.publish(Invalidation(tags=("a",)), "api", "new")
        await receiver.stage("new", "done")

"""Publishing invalidations over HTTP: what is accepted, what is refused, once and how often."""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest
from asgi_isr.coherence import Progress, Reached
from asgi_isr.events import decode
from asgi_isr.testing import eventually
from perfcheck_chassis.identity import ConsistencyTokens
from perfcheck_chassis.secret import Secret
from perfcheck_contracts import SCOPES

OUTBOX = "SELECT id, event_id::text, payload FROM outbox ORDER BY id"
TRACEPARENTS = "SELECT traceparent FROM outbox ORDER BY id"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
USD = {"tags": ["currency:usd"]}


@pytest.fixture
async def publisher(schema_url: str, open_client: Any, no_nats_url: str) -> AsyncIterator[Any]:
    """Give an app on an empty database; its events stay in the outbox."""
    async with open_client(schema_url, nats_url=no_nats_url) as client:
        yield client


def _outbox(fetch: Any, client: Any) -> list[tuple[int, str, bytes]]:
    found: list[tuple[int, str, bytes]] = fetch(client.settings.database_url.reveal(), OUTBOX)
    return found


async def test_an_invalidation_is_committed_and_accepted(publisher: Any, fetch: Any) -> None:
    """The answer is 202 with the event's id, its receipt's address, and a consistency token."""
    document = {
        "tags": ["Currency:USD", "currency:usd", "x"],
        "paths": ["/pairs/usd/*"],
        "mode": "soft",
        "reason": "test",
    }
    answer = await publisher.post("/invalidations", document)
    [(number, event_id, payload)] = _outbox(fetch, publisher)
    assert answer.status == 202
    assert answer.headers["location"] == f"/api/v1/invalidations/{event_id}"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"id", "consistency_token"}
    assert answer.json()["id"] == event_id
    tokens = ConsistencyTokens(publisher.settings.token_keys())
    assert tokens.verify(answer.json()["consistency_token"]) == ("api", number)
    event = decode(payload)
    assert event.tags == ("currency:usd", "x")  # canonical, each once
    assert (event.paths, event.mode, event.reason) == (("/pairs/usd/*",), "soft", "test")


class Case(NamedTuple):
    id: str
    body: bytes
    status: int
    type: str
    field: str
    query: str = ""
    key: str = ""


def _json(**members: Any) -> bytes:
    return msgspec.json.encode(members)


BAD = [
    Case("no body", b"", 400, "invalid-request", "body"),
    Case("malformed", b'{"tags":', 400, "invalid-request", "body"),
    Case("not UTF-8", b'{"tags":["\xff"]}', 400, "invalid-request", "body"),
    Case("too deep", b"[" * 50_000, 422, "rejected", "body"),
    Case("no object", b"[1]", 422, "rejected", "body"),
    Case("nothing named", b"{}", 422, "rejected", "tags"),
    Case("unknown mode", _json(tags=["x"], mode="hrad"), 422, "rejected", "mode"),
    Case("mode a number", _json(tags=["x"], mode=1), 422, "rejected", "mode"),
    Case("unknown field", _json(tags=["x"], tag="y"), 422, "rejected", "tag"),
    Case("tags a text", _json(tags="x"), 422, "rejected", "tags"),
    Case("a tag a number", _json(tags=["x", 1]), 422, "rejected", "tags[1]"),
    Case("an empty tag", _json(tags=["x", ""]), 422, "rejected", "tags[1]"),
    Case("a tag with a comma", _json(tags=["a,b"]), 422, "rejected", "tags[0]"),
    Case("a tag with a space", _json(tags=["a b"]), 422, "rejected", "tags[0]"),
    Case("a tag of 257 characters", _json(tags=["x" * 257]), 422, "rejected", "tags[0]"),
    Case("1,001 tags", _json(tags=[f"t{n}" for n in range(1001)]), 422, "rejected", "tags"),
    Case("a path without slash", _json(paths=["pairs"]), 422, "rejected", "paths[0]"),
    Case("a path with a query", _json(paths=["/pairs?x=1"]), 422, "rejected", "paths[0]"),
    Case("a path of another", _json(paths=["/a", "/a%2F/b"]), 422, "rejected", "paths[1]"),
    Case(
        "500 long paths",
        _json(paths=["/%" + "25" * 509 + "41"] * 500),
        413,
        "content-too-large",
        "body",
    ),
    Case("a long reason", _json(tags=["x"], reason="r" * 1025), 422, "rejected", "reason"),
    Case("10 MB", b" " * 10_000_000, 413, "content-too-large", "body"),
    Case("a long key", _json(tags=["x"]), 400, "invalid-request", "Idempotency-Key", key="k" * 256),
    Case("wait for what", _json(tags=["x"]), 400, "invalid-request", "wait", "?wait=done"),
    Case("wait no time", _json(tags=["x"]), 400, "invalid-request", "timeout_s", "?timeout_s=0"),
    Case("wait too long", _json(tags=["x"]), 400, "invalid-request", "timeout_s", "?timeout_s=26"),
    Case("wait NaN", _json(tags=["x"]), 400, "invalid-request", "timeout_s", "?timeout_s=nan"),
    Case("wait text", _json(tags=["x"]), 400, "invalid-request", "timeout_s", "?timeout_s=soon"),
]


async def test_bad_input_is_refused_and_nothing_written(publisher: Any, fetch: Any) -> None:
    """Each answer is a problem of its kind that names the field, and the outbox stays empty."""
    for case in BAD:
        headers = {"idempotency-key": case.key} if case.key else {}
        answer = await publisher.send(
            "POST", f"/v1/invalidations{case.query}", case.body, headers=headers
        )
        assert answer.headers["content-type"] == "application/problem+json", case.id
        problem = answer.json()
        assert (answer.status, problem["type"]) == (case.status, case.type), (case.id, problem)
        assert [error["field"] for error in problem["errors"]] == [case.field], (case.id, problem)
    assert _outbox(fetch, publisher) == []


async def test_the_largest_event_is_accepted(publisher: Any, fetch: Any) -> None:
    """1,000 tags that fill the limit of the body."""
    tags = [f"{number:062}" for number in range(1000)]
    assert (await publisher.post("/invalidations", {"tags": tags})).status == 202
    [(_, event_id, payload)] = _outbox(fetch, publisher)
    assert list(decode(payload).tags) == tags
    assert (await publisher.get(f"/invalidations/{event_id}")).json()["tags"] == tags


async def test_a_large_body_is_refused_unread(publisher: Any) -> None:
    """Of a body whose length is not told, no more than the limit is read."""
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 65_536
        return {"type": "http.request", "body": b" " * 65_536, "more_body": read < 10_000_000}

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": "/api/v1/invalidations", "raw_path": b"/api/v1/invalidations",
        "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "headers": [(b"authorization", f"Bearer {publisher.token()}".encode())],
    }  # fmt: skip
    await publisher.app(scope, receive, send)
    assert sent[0]["status"] == 413
    assert read < 1_000_000
    assert b"65536" in sent[1]["body"]


async def test_a_token_with_the_scope_is_needed(publisher: Any, fetch: Any) -> None:
    """No token, a bad one, an expired one or another's is 401, another scope 403; none writes."""
    keys = publisher.settings.token_keys()
    expired = keys.issue(subject="test", audience="api", scopes=SCOPES, lifetime_s=-60)
    tokens = {
        "": (401, "unauthorized"),
        "Bearer x": (401, "unauthorized"),
        f"Bearer {expired}": (401, "unauthorized"),
        f"Bearer {publisher.token(audience='revalidator')}": (401, "unauthorized"),
        f"Bearer {publisher.token('invalidations:read')}": (403, "forbidden"),
    }
    for token, expected in tokens.items():
        for method, target in (("POST", "/v1/invalidations"), ("PUT", "/v1/days/2020-05-04")):
            answer = await publisher.send(
                method, target, msgspec.json.encode(USD), headers={"authorization": token}
            )
            assert (answer.status, answer.json()["type"]) == expected, token
            assert answer.json()["detail"]
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert _outbox(fetch, publisher) == []


async def test_receipts_are_read_with_either_scope(publisher: Any) -> None:
    """Whoever may publish may read; others need the scope to read, and not that of rates."""
    for scope, status in (
        ("invalidations:read", 200),
        ("invalidations:write", 200),
        ("rates:write", 403),
    ):
        headers = {"authorization": f"Bearer {publisher.token(scope)}"}
        assert (await publisher.send("GET", "/v1/invalidations", headers=headers)).status == status


async def test_the_same_key_publishes_once(publisher: Any, fetch: Any) -> None:
    """Same key, body and caller: the same answer again, and no second event."""
    headers = {"idempotency-key": "k1"}
    first = await publisher.post("/invalidations", USD, headers=headers)
    again = await publisher.post("/invalidations", USD, headers={"idempotency-key": '"k1"'})
    assert (first.status, again.status) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert len(_outbox(fetch, publisher)) == 1
    other = {"authorization": f"Bearer {publisher.token(subject='other')}", **headers}
    assert (await publisher.post("/invalidations", USD, headers=other)).status == 202
    assert len(_outbox(fetch, publisher)) == 2


async def test_a_key_belongs_to_one_body(publisher: Any, fetch: Any) -> None:
    """The same key with another body is 422, and nothing is written."""
    headers = {"idempotency-key": "k1"}
    await publisher.post("/invalidations", USD, headers=headers)
    answer = await publisher.post("/invalidations", {"tags": ["x"]}, headers=headers)
    assert answer.status == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert len(_outbox(fetch, publisher)) == 1


async def test_a_key_is_forgotten_after_a_day(publisher: Any, fetch: Any) -> None:
    """A day later the same key is a new one, also before the old one was pruned."""
    headers = {"idempotency-key": "k1"}
    first = await publisher.post("/invalidations", USD, headers=headers)
    url = publisher.settings.database_url.reveal()
    fetch(url, "UPDATE idempotency_keys SET created_at = now() - interval '25 h'")
    later = await publisher.post("/invalidations", {"tags": ["x"]}, headers=headers)
    assert later.status == 202
    assert later.json()["id"] != first.json()["id"]


async def test_a_key_under_way_is_a_conflict(publisher: Any, schema_url: str, fetch: Any) -> None:
    """While a request with the key has not ended, another one is 409; afterwards it is answered."""
    headers = {"idempotency-key": "k1"}
    async with (
        await psycopg.AsyncConnection.connect(schema_url) as blocker,
        asyncio.TaskGroup() as group,
    ):
        await blocker.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
        tasks = {
            group.create_task(publisher.post("/invalidations", USD, headers=headers))
            for _ in range(2)
        }
        refused, slow = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert [(task.result().status, task.result().json()["type"]) for task in refused] == [
            (409, "under-way")
        ]
        await blocker.rollback()
    [accepted] = [task.result() for task in slow]
    assert accepted.status == 202
    again = await publisher.post("/invalidations", USD, headers=headers)
    assert again.json()["id"] == accepted.json()["id"]
    assert len(_outbox(fetch, publisher)) == 1


async def test_concurrent_requests_with_a_key_publish_once(publisher: Any, fetch: Any) -> None:
    """Whatever races, there is one event, and whoever gets 202 gets its id."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                publisher.post("/invalidations", USD, headers={"idempotency-key": "k"})
            )
            for _ in range(20)
        ]
    answers = [task.result() for task in tasks]
    [(_, event_id, _)] = _outbox(fetch, publisher)
    assert {answer.status for answer in answers} <= {202, 409}
    assert {answer.json()["id"] for answer in answers if answer.status == 202} == {event_id}


async def test_more_than_the_rate_is_refused(
    schema_url: str, open_client: Any, no_nats_url: str, fetch: Any
) -> None:
    """Beyond the burst a subject gets 429 with the time to wait; others are not concerned."""
    async with open_client(schema_url, nats_url=no_nats_url, invalidations_per_s=0.5) as client:
        first = await client.post("/invalidations", USD)
        assert (first.status, first.headers["ratelimit"]) == (202, '"publisher";r=0;t=2')
        assert first.headers["ratelimit-policy"] == '"publisher";q=1;w=2'
        answer = await client.post("/invalidations", USD)
        assert (answer.status, answer.json()["type"]) == (429, "too-many-requests")
        assert answer.headers["retry-after"] == "2"
        assert answer.headers["ratelimit"] == '"publisher";r=0;t=2'
        assert answer.headers["ratelimit-policy"] == '"publisher";q=1;w=2'
        assert "nothing was written" in answer.json()["detail"]
        assert (await client.put("/days/2020-05-04", {"rates": {"USD": 1.1}})).status == 201
        other = {"authorization": f"Bearer {client.token(subject='other')}"}
        assert (await client.post("/invalidations", USD, headers=other)).status == 202
        assert len(_outbox(fetch, client)) == 3


async def test_an_event_survives_the_loss_of_the_database(
    schema_url: str, open_client: Any, no_nats_url: str, fetch: Any
) -> None:
    """A publisher that PostgreSQL keeps waiting gets 503 in time, and nothing is written."""
    async with (
        open_client(schema_url, nats_url=no_nats_url, statement_timeout_s=0.3) as client,
        await psycopg.AsyncConnection.connect(schema_url) as blocker,
    ):
        await blocker.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
        answer = await client.post("/invalidations", USD)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        await blocker.rollback()
        assert _outbox(fetch, client) == []


class Fleet:
    """Knows instances that the test lets apply events; the observer's interface."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked: list[Reached] = []
        self.times: dict[str, float] = {}
        self._everywhere = asyncio.Event()

    def apply(self, name: str) -> None:
        """Let one instance have applied everything."""
        self.times[name] = time.monotonic()
        if len(self.times) == len(self.names):
            self._everywhere.set()

    async def run(self) -> None:
        """Have nothing to do, for ever."""
        await asyncio.Event().wait()

    async def unhealthy_reason(self) -> str | None:
        """Know of no reason."""
        return None

    async def wait(self, reached: Reached, timeout_s: float) -> Progress:
        """Wait for all."""
        self.asked.append(reached)
        try:
            async with asyncio.timeout(timeout_s):
                await self._everywhere.wait()
        except TimeoutError:
            pass
        return self.applied(reached)

    def applied(self, reached: Reached) -> Progress:
        """Return who has applied it."""
        del reached
        missing = tuple(name for name in self.names if name not in self.times)
        return Progress(dict(self.times), missing, ("gone",), everywhere=not missing)


async def test_a_publisher_can_wait_until_it_is_applied(
    schema_url: str, open_client: Any, no_nats_url: str, fetch: Any
) -> None:
    """The answer comes with the last instance, and names each one's milliseconds."""
    fleet = Fleet("a", "b", "c")
    async with (
        open_client(schema_url, nats_url=no_nats_url, observer=fleet) as client,
        asyncio.TaskGroup() as group,
    ):
        waiting = group.create_task(client.post("/invalidations?wait=applied", USD))

        async def asked() -> bool:
            return bool(fleet.asked)

        await eventually(asked, timeout_s=20)
        [(number, _, _)] = _outbox(fetch, client)
        assert fleet.asked == [("api", number)]
        for name in ("a", "b", "c"):
            assert not waiting.done()
            fleet.apply(name)
        answer = await waiting
        applied = answer.json()["applied"]
        assert answer.status == 202
        assert applied["instances"] == 3
        assert applied["each"].keys() == {"a", "b", "c"}
        assert applied["min_ms"] == applied["each"]["a"] > 0
        assert applied["p50_ms"] == applied["each"]["b"]
        assert applied["max_ms"] == applied["each"]["c"]
        assert applied["vanished"] == ["gone"]
        assert "missing" not in applied


async def test_a_wait_ends_in_time_and_names_who_is_missing(
    schema_url: str, open_client: Any, no_nats_url: str
) -> None:
    """The event is committed, so the answer is 202 all the same."""
    fleet = Fleet("a", "b")
    fleet.apply("a")
    async with open_client(schema_url, nats_url=no_nats_url, observer=fleet) as client:
        answer = await client.post("/invalidations?wait=applied&timeout_s=0.05", USD)
        assert answer.status == 202
        assert answer.json()["applied"]["missing"] == ["b"]
        assert answer.json()["applied"]["instances"] == 1


async def test_writes_of_rates_return_a_consistency_token(publisher: Any, fetch: Any) -> None:
    """It names the outbox row of the write."""
    answer = await publisher.put("/days/2020-05-04", {"rates": {"USD": 1.1}})
    [(number, _, _)] = _outbox(fetch, publisher)
    tokens = ConsistencyTokens(publisher.settings.token_keys())
    assert tokens.verify(answer.headers["consistency-token"]) == ("api", number)


SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
WEBHOOK = "/v1/webhooks/invalidations"


def _signed(body: bytes, *, identity: str = "msg_1", off_s: int = 0) -> dict[str, str]:
    timestamp = str(int(time.time()) + off_s)  # noqa: TID251  the app compares with the calendar
    content = f"{identity}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(b"s" * 32, content, hashlib.sha256)).decode()
    return {
        "authorization": "",
        "webhook-id": identity,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


async def test_a_signed_webhook_is_accepted_once(
    schema_url: str, open_client: Any, no_nats_url: str, fetch: Any
) -> None:
    """No token is needed; an attempt that comes again gets the same answer and no second event."""
    body = msgspec.json.encode(USD)
    async with open_client(
        schema_url, nats_url=no_nats_url, webhook_secret=Secret(SECRET)
    ) as client:
        first = await client.send("POST", WEBHOOK, body, headers=_signed(body))
        again = await client.send("POST", WEBHOOK, body, headers=_signed(body, off_s=2))
        other = await client.send("POST", WEBHOOK, body, headers=_signed(body, identity="msg_2"))
        assert (first.status, again.status, other.status) == (202, 202, 202)
        assert first.json()["id"] == again.json()["id"] != other.json()["id"]
        assert len(_outbox(fetch, client)) == 2


async def test_the_traceparent_of_a_write_is_kept_with_its_event(
    schema_url: str, open_client: Any, no_nats_url: str, fetch: Any
) -> None:
    """Whichever way an event came; what is no traceparent is left out, and breaks no write."""
    body = msgspec.json.encode(USD)
    rates = msgspec.json.encode({"rates": {"USD": 1.1}})
    trace = {"traceparent": TRACEPARENT}
    async with open_client(
        schema_url, nats_url=no_nats_url, webhook_secret=Secret(SECRET)
    ) as client:
        answers = [
            await client.send("POST", "/v1/invalidations", body, headers=trace),
            await client.send(
                "POST", "/v1/invalidations", body, headers=trace | {"idempotency-key": "k"}
            ),
            await client.send("POST", WEBHOOK, body, headers=_signed(body) | trace),
            await client.send("PUT", "/v1/days/2020-05-04", rates, headers=trace),
            await client.send("PATCH", "/v1/days/2020-05-04", rates, headers=trace),
            await client.send("POST", "/v1/invalidations", body),
            await client.send(
                "POST", "/v1/invalidations", body, headers={"traceparent": "00-x\u00ff"}
            ),
        ]
    assert [answer.status for answer in answers] == [202, 202, 202, 201, 200, 202, 202]
    kept = [traceparent for (traceparent,) in fetch(schema_url, TRACEPARENTS)]
    assert kept == [TRACEPARENT] * 5 + [None] * 2


async def test_bad_webhooks_write_nothing(
    schema_url: str, open_client: Any, no_nats_url: str, fetch: Any
) -> None:
    """Wrong signature, old timestamp, no secret: 401 with the reason, whatever the body is."""
    body, bad = msgspec.json.encode(USD), b"{"
    async with open_client(
        schema_url, nats_url=no_nats_url, webhook_secret=Secret(SECRET)
    ) as client:
        for headers, sent, status, reason in (
            (_signed(bad), body, 401, "webhook-signature"),
            (_signed(body, off_s=-400), body, 401, "webhook-timestamp"),
            (_signed(body, off_s=400), body, 401, "webhook-timestamp"),
            (_signed(body) | {"webhook-timestamp": ""}, body, 401, "webhook-timestamp: is missing"),
            (_signed(body) | {"webhook-id": ""}, body, 401, "webhook-id: is missing"),
            (_signed(body) | {"webhook-id": "msg_2"}, body, 401, "webhook-signature"),
            (_signed(body, identity="m" * 256), body, 401, "webhook-id"),
            (_signed(body) | {"webhook-signature": ""}, bad, 401, "webhook-signature"),
            (_signed(bad), bad, 400, "body"),
            (_signed(b'{"mode":"x"}'), b'{"mode":"x"}', 422, "tags"),
        ):
            answer = await client.send("POST", WEBHOOK, sent, headers=headers)
            assert answer.status == status
            assert reason in answer.json()["detail"]
        assert _outbox(fetch, client) == []
    async with open_client(schema_url, nats_url=no_nats_url) as client:
        answer = await client.send("POST", WEBHOOK, body, headers=_signed(body))
        assert answer.status == 401
        assert "PERFCHECK_WEBHOOK_SECRET" in answer.json()["detail"]


async def test_the_schema_tells_of_the_routes(publisher: Any) -> None:
    """Bodies, headers, parameters, problem answers and the token stand in the OpenAPI schema."""
    schema = (await publisher.send("GET", "/schema/openapi.json")).json()
    publish = schema["paths"]["/api/v1/invalidations"]["post"]
    assert set(publish["responses"]) == {
        "202", "400", "401", "403", "409", "413", "422", "429", "503",
    }  # fmt: skip
    assert publish["security"] == [{"bearer": []}]
    assert "application/json" in publish["requestBody"]["content"]
    named = {parameter["name"] for parameter in publish["parameters"]}
    assert named == {"Idempotency-Key", "wait", "timeout_s"}
    assert "Location" in publish["responses"]["202"]["headers"]
    for method in ("put", "patch"):
        write = schema["paths"]["/api/v1/days/{date}"][method]
        assert {"403", "422"} <= set(write["responses"])
        assert {"wait", "timeout_s"} <= {item["name"] for item in write["parameters"]}
    webhook = schema["paths"]["/api/v1/webhooks/invalidations"]["post"]
    assert {parameter["name"] for parameter in webhook["parameters"]} == {
        "webhook-id", "webhook-timestamp", "webhook-signature",
    }  # fmt: skip
    assert "bearer" in schema["components"]["securitySchemes"]

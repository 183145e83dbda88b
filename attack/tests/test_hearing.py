"""Who hears what, who gets in, and what a publisher's header fields can order."""

import asyncio
import json

import pytest
from asgi_isr.nats import close, connect
from nats.aio.msg import Msg

from attack.cells import subjects_of_ours
from attack.system import API, BFF, CREDENTIALS, OWNERS, PUBLISHERS, REVALIDATOR, System, system
from attack.watch import State, Watch, changed

TOLD = ("cache.instances.v1.", "cache.positions.v1.")
HEARS: dict[str, tuple[str, ...]] = {
    API: ("cache.mark-requests.v1", *TOLD),
    BFF: ("cache.log.v1.",),
    REVALIDATOR: ("cache.log.v1.", *TOLD, "cache.popular.v1."),
    **dict.fromkeys(PUBLISHERS, ()),
}
EVERYTHING = (">", "*.>", "cache.>", "_INBOX.>", "_R_.>", "$JS.>", "$JS.API.>", "$SYS.>")
ORDERS = (
    {"Nats-Rollup": "all"},
    {"Nats-Rollup": "sub"},
    {"Nats-TTL": "1s"},
    {"Nats-Schedule": "@at 2026-01-01T00:00:00Z", "Nats-Schedule-Target": "cache.marks.v1.api"},
    {"Nats-Incr": "1"},
    {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
    {"Nats-Stream-Source": "CACHE_INVALIDATIONS 1"},
    {"Nats-Expected-Last-Sequence": "1"},
    {"Nats-Expected-Last-Subject-Sequence": "0"},
    {"Nats-Trace-Dest": "cache.marks.v1.api"},
    {"Nats-Marker-Reason": "Purge"},
    {"Status": "503"},
    {"Nats-Num-Pending": "9", "Nats-Last-Sequence": "9"},
)


async def _say_everything(attacked: System) -> None:
    """Publish to every subject in each account, and have JetStream answer."""
    everybodys = [*subjects_of_ours(attacked.accounts), *(f"_INBOX_{u}.x" for u in CREDENTIALS)]
    for client in attacked.owners.values():
        for subject in everybodys:
            await client.publish(subject, b"heard")
        await client.request("$JS.API.INFO", b"", timeout=20)
        await client.flush()
    for name in PUBLISHERS:
        await attacked.victims[name].publish(f"cache.invalidations.v1.{name}", b"{}")
        await attacked.victims[name].flush()


@pytest.fixture
async def hearing() -> dict[str, set[str]]:
    """Give what each credential heard that listened to everything while everybody spoke."""
    heard: dict[str, set[str]] = {user: set() for user in CREDENTIALS}
    async with system() as attacked:
        clients = []
        for user, subjects in heard.items():

            async def hear(message: Msg, subjects: set[str] = subjects) -> None:
                subjects.add(message.subject)

            client = await connect(attacked.urls[user], name="listener", timeout_s=30)
            clients.append(client)
            inboxes = (f"_INBOX_{other}.>" for other in (*CREDENTIALS, *OWNERS.values()))
            for pattern in (*EVERYTHING, *inboxes, *subjects_of_ours(attacked.accounts)):
                await client.subscribe(pattern, cb=hear)
            for prefix in HEARS[user]:  # what it may, as it subscribes to it
                await client.subscribe(
                    prefix.removesuffix(".") + (".>" * prefix.endswith(".")), cb=hear
                )
            await client.flush(timeout=20)
        await _say_everything(attacked)
        for client in clients:
            await client.flush(timeout=20)
            await close(client)
    return heard


async def test_a_credential_hears_what_it_needs_and_nothing_else(
    hearing: dict[str, set[str]],
) -> None:
    """Not events beside the log, not questions to JetStream, not the answers of others."""
    for user, subjects in hearing.items():
        may = (*HEARS[user], f"_INBOX_{user}.")
        assert not {each for each in subjects if not each.startswith(may)}, user
        for prefix in HEARS[user]:
            assert any(each.startswith(prefix) for each in subjects), (user, prefix)


async def _answer_to(place: str, **credential: str) -> bytes:
    """Return what the server says to one who connects."""
    host, _, port = place.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        options = {"verbose": False, "pedantic": False, "protocol": 1, **credential}
        writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        await reader.readline()  # what it says of itself
        return await asyncio.wait_for(reader.readline(), 20)
    finally:
        writer.close()


async def test_nobody_gets_in_without_a_password_of_ours() -> None:
    """Not without a user, as the system's, with another's password or with none."""
    async with system() as attacked:
        place = attacked.urls[API].rpartition("@")[2]
        password = attacked.urls["shop"].split(":")[2].partition("@")[0]
        for credential in (
            {},
            {"user": "sys", "pass": "sys"},
            {"user": "SYS", "pass": ""},
            {"user": "admin", "pass": "s3cr3t"},
            {"user": API, "pass": ""},
            {"user": API, "pass": password},
            {"user": API},
            {"auth_token": password},
            {"nkey": "U" + "A" * 55, "sig": "x"},
            {"jwt": "a.b.c", "sig": "x"},
        ):
            answer = await _answer_to(place, **credential)
            assert b"Authorization Violation" in answer, credential
        assert await _answer_to(place, user="shop", **{"pass": password}) == b"PONG\r\n"


def _count(state: State, subject: str) -> int:
    found = state[f"CACHE_INVALIDATIONS: of {subject}"]
    assert isinstance(found, int)
    return found


async def test_a_publishers_header_fields_order_nothing() -> None:
    """The log refuses the message, or holds it under the publisher's name as one more of many."""
    own = "cache.invalidations.v1.shop"
    async with system() as attacked:
        watch = Watch(attacked)
        await watch.open()
        attacker = attacked.victims["shop"]
        for fields in ORDERS:
            before = await watch.settled()
            await attacker.publish(own, b'{"paths":["/a"]}', headers=dict(fields))
            await attacker.flush(timeout=20)
            after = await watch.settled()
            names = changed(before, after)
            assert names <= {"CACHE_INVALIDATIONS: messages", f"CACHE_INVALIDATIONS: of {own}"}
            held = [_count(state, own) for state in (before, after)]
            assert held[1] - held[0] == bool(names), fields

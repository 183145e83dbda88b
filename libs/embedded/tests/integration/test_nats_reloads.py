"""What a reload of NATS's configuration does: publishers come and go, passwords are changed."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from asgi_isr.errors import LogUnavailableError
from asgi_isr.logs.nats import close, connect, ensure_stream
from asgi_isr.nats import Link
from asgi_isr.testing import eventually
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from perfcheck_embedded import (
    EmbeddedError,
    Servers,
    StateDir,
    add_publisher,
    kept_publishers,
    reload_publishers,
    remove_publisher,
)
from perfcheck_embedded.backends.nats_publishers import reload
from perfcheck_embedded.state.credentials import write_secret

SUBJECT = "cache.invalidations.v1"


class Bystander:
    """A page server and a publisher whose sessions a reload must not touch."""

    def __init__(self, clients: dict[str, Client]) -> None:
        self.clients = clients
        self.heard: list[bytes] = []
        self._said = 0

    async def hear(self) -> None:
        """Begin to hear the log."""

        async def note(message: Msg) -> None:
            self.heard.append(message.data)

        await self.clients["frontend-bff"].subscribe(f"cache.log.v1.{SUBJECT}.cli", cb=note)
        await self.clients["frontend-bff"].flush()

    async def say(self) -> None:
        """Publish one more event."""
        await self.clients["cli"].jetstream().publish(f"{SUBJECT}.cli", b"%d" % self._said)
        self._said += 1

    async def undisturbed(self) -> None:
        """Check that nobody had to connect again, and that all was heard once and in order."""
        await self.say()
        await eventually(lambda: len(self.heard) >= self._said)
        assert self.heard == [b"%d" % number for number in range(self._said)]
        assert {client.stats["reconnects"] for client in self.clients.values()} == {0}


@pytest.fixture
async def bystander(running: Servers) -> AsyncIterator[Bystander]:
    """Give sessions that stand, and the log."""
    async with AsyncExitStack() as stack:
        clients: dict[str, Client] = {}
        for name in ("test", "api", "frontend-bff", "revalidator", "cli"):
            clients[name] = await connect(running.nats_urls[name], name=name, timeout_s=10)
            stack.push_async_callback(close, clients[name])
        await ensure_stream(clients["test"].jetstream())
        given = Bystander(clients)
        await given.hear()
        yield given


async def edit(running: Servers, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the accounts in the configuration, and have it read once."""
    path = running.directory / "nats/nats.conf"
    settings = json.loads(path.read_text())
    change(settings["accounts"])
    write_secret(path, json.dumps(settings))
    await reload(StateDir(running.directory), running.pids()["nats"])


def address(running: Servers, user: str, password: str) -> str:
    """Return the address of a user."""
    return f"nats://{user}:{password}@{urlsplit(running.nats_url).netloc.rpartition('@')[2]}"


async def test_a_publisher_comes_and_goes_without_touching_others(
    running: Servers, bystander: Bystander
) -> None:
    """Its events are taken under its name; removed, its session ends and its password is void."""
    state, pid = StateDir(running.directory), running.pids()["nats"]
    password = add_publisher(state, "crm")
    await bystander.say()
    await reload_publishers(state, pid)
    assert kept_publishers(state) == ("cli", "shop", "crm")
    crm = await connect(address(running, "crm", password), name="crm", timeout_s=10)
    try:
        ack = await crm.jetstream().publish(f"{SUBJECT}.crm", b"{}")
        assert ack.stream == "CACHE_INVALIDATIONS"
        remove_publisher(state, "crm")
        await reload_publishers(state, pid)
        await eventually(lambda: not crm.is_connected, timeout_s=20)
    finally:
        await close(crm)
    await bystander.undisturbed()
    assert kept_publishers(state) == ("cli", "shop")
    with pytest.raises(LogUnavailableError, match="cannot connect"):
        await connect(address(running, "crm", password), name="crm", timeout_s=2)
    assert add_publisher(state, "crm") != password
    remove_publisher(state, "crm")


async def test_a_new_account_needs_two_reloads(running: Servers, bystander: Bystander) -> None:
    """After the first its user is let in, and what the account imports does not work yet."""
    state, pid = StateDir(running.directory), running.pids()["nats"]
    password = add_publisher(state, "erp")
    await reload(state, pid)
    erp = await connect(address(running, "erp", password), name="erp", timeout_s=10)
    try:
        with pytest.raises(NoRespondersError):
            await erp.request(f"{SUBJECT}.erp", b"{}", timeout=5)
        await reload(state, pid)
        assert b"CACHE_INVALIDATIONS" in (await erp.request(f"{SUBJECT}.erp", b"", timeout=5)).data
        assert erp.stats["reconnects"] == 0
    finally:
        await close(erp)
        remove_publisher(state, "erp")
        await reload_publishers(state, pid)
    await bystander.undisturbed()


async def test_a_second_user_changes_a_password_without_a_gap(
    running: Servers, bystander: Bystander
) -> None:
    """In the same account, with its own inboxes: both work after one reload, then the old goes."""

    def second(accounts: dict[str, Any]) -> None:
        (first, *_) = accounts["PAGES"]["users"]
        text = json.dumps({**first, "password": "new"}).replace("frontend-bff", "frontend-bff-2")
        accounts["PAGES"]["users"].append(json.loads(text))

    await edit(running, second)
    await bystander.say()
    link = Link(address(running, "frontend-bff-2", "new"), name="test", timeout_s=5)
    try:
        subject = "log.api.STREAM.INFO.CACHE_INVALIDATIONS"
        assert (await link.request(subject, b"", dict))["config"]["name"] == "CACHE_INVALIDATIONS"
        await bystander.undisturbed()
    finally:
        await link.close()

    def without(accounts: dict[str, Any]) -> None:
        accounts["PAGES"]["users"] = [
            user for user in accounts["PAGES"]["users"] if user["user"] != "frontend-bff-2"
        ]

    await edit(running, without)
    await bystander.undisturbed()


async def test_a_changed_password_ends_that_users_sessions_and_no_others(
    running: Servers, bystander: Bystander
) -> None:
    """They are cut at once, and a link that was given the new one connects."""
    own = await connect(running.nats_urls["shop"], name="shop", timeout_s=10)
    old = urlsplit(running.nats_urls["shop"]).password

    def change(password: str | None) -> Callable[[dict[str, Any]], None]:
        def changed(accounts: dict[str, Any]) -> None:
            accounts["PUB_shop"]["users"][0]["password"] = password

        return changed

    try:
        await edit(running, change("new"))
        await eventually(lambda: not own.is_connected, timeout_s=20)
        link = Link(address(running, "shop", "new"), name="test", timeout_s=5)
        assert (await link.publish(f"{SUBJECT}.shop", b"0")).stream == "CACHE_INVALIDATIONS"
        await link.close()
    finally:
        await edit(running, change(old))
        await close(own)
    await bystander.undisturbed()


async def test_a_configuration_that_nats_refuses_is_told(running: Servers) -> None:
    """And the server goes on with the one that it has."""
    path = running.directory / "nats/nats.conf"
    good = path.read_text()
    write_secret(path, good.replace('"accounts"', '"acounts"'))
    try:
        with pytest.raises(EmbeddedError, match="refused its new configuration"):
            await reload(StateDir(running.directory), running.pids()["nats"])
    finally:
        write_secret(path, good)
    await close(await connect(running.nats_urls["cli"], name="test", timeout_s=10))


@pytest.mark.parametrize("name", ["api", "a.b", "test"])
def test_a_name_that_is_no_publishers_changes_nothing(tmp_path: Path, name: str) -> None:
    """It is refused before anything is written."""
    state = StateDir(tmp_path)
    with pytest.raises(EmbeddedError, match="cannot be a publisher"):
        add_publisher(state, name)
    assert kept_publishers(state) == ("cli", "shop")


def test_a_publisher_that_is_not_there_cannot_be_removed(tmp_path: Path) -> None:
    """Nor the last one; the message names those that are."""
    state = StateDir(tmp_path)
    with pytest.raises(EmbeddedError, match="the publishers are cli, shop"):
        remove_publisher(state, "crm")
    remove_publisher(state, "shop")
    with pytest.raises(EmbeddedError, match="one must stay"):
        remove_publisher(state, "cli")

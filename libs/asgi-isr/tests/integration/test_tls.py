"""TLS to NATS and to the store: the right authority is let through, everything else is refused."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
import trustme
from asgi_isr.errors import LogUnavailableError, StoreUnavailableError
from asgi_isr.logs.nats import NatsLog, close, connect, ensure_stream
from asgi_isr.stores.redis import RedisStore
from perfcheck_embedded import LOOPBACK, Servers, TlsFiles, servers, tls_front


class Authority(NamedTuple):
    """Files of an authority, and of servers that it has issued certificates for."""

    ca_file: str
    here: TlsFiles
    elsewhere: TlsFiles


def _authority(folder: Path) -> Authority:
    folder.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    found = []
    for host in (LOOPBACK, "elsewhere.example"):
        issued = authority.issue_cert(host)
        files = TlsFiles(certificate=folder / f"{host}.pem", key=folder / f"{host}.key")
        for number, part in enumerate(issued.cert_chain_pems):
            part.write_to_path(files.certificate, append=number > 0)
        issued.private_key_pem.write_to_path(files.key)
        found.append(files)
    return Authority(str(folder / "ca.pem"), *found)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give the authority that is to be trusted."""
    return _authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give an authority that the servers have nothing to do with."""
    return _authority(tmp_path_factory.mktemp("tls") / "other")


@pytest.fixture(scope="module")
def tls_nats(ours: Authority) -> Iterator[Servers]:
    """Give a NATS that speaks TLS alone."""
    with servers(postgres=False, valkey=False, nats_tls=ours.here) as running:
        yield running


async def test_log_works_over_tls(
    tls_nats: Servers, ours: Authority, new_log: Callable[..., NatsLog]
) -> None:
    """With the authority's file the log is created, written, and read."""
    assert urlsplit(tls_nats.nats_url).scheme == "tls"
    log = new_log(tls_nats.nats_url, publish_marks=True, timeout_s=5, tls_ca_file=ours.ca_file)
    await log.bounds()
    assert (await log.mark()).seq == (await log.bounds()).last


async def test_connection_over_tls_survives_a_restart(tls_nats: Servers, ours: Authority) -> None:
    """The repaired connection is TLS too, as the same user."""
    changes: asyncio.Queue[None] = asyncio.Queue()
    client = await connect(
        tls_nats.nats_urls["api"],
        name="test",
        tls_ca_file=ours.ca_file,
        on_change=partial(changes.put_nowait, None),
    )
    await tls_nats.restart("nats")
    async with asyncio.timeout(20):
        await changes.get()  # it broke
        await changes.get()  # it stands again
    await ensure_stream(client.jetstream())
    await close(client)


@pytest.mark.parametrize("trusted", ["other", "system"])
async def test_nats_of_an_unknown_authority_is_refused(
    tls_nats: Servers, trusted: str, other: Authority
) -> None:
    """The reason is told, and the password is not."""
    ca_file = other.ca_file if trusted == "other" else ""
    with pytest.raises(LogUnavailableError, match="certificate verify failed") as refused:
        await connect(tls_nats.nats_url, name="test", tls_ca_file=ca_file)
    assert str(urlsplit(tls_nats.nats_url).password) not in str(refused.value)


async def test_nats_that_wants_tls_is_refused_without(tls_nats: Servers) -> None:
    """A URL that does not ask for TLS gets no connection: the system does not trust that server."""
    url = tls_nats.nats_url.replace("tls://", "nats://")
    with pytest.raises(LogUnavailableError, match="cannot connect to NATS"):
        await connect(url, name="test")


async def test_password_is_not_sent_to_a_nats_without_tls(steady_servers: Servers) -> None:
    """A server that does not offer what the URL asks for is left before the password is sent."""
    url = steady_servers.nats_url.replace("nats://", "tls://")
    with pytest.raises(LogUnavailableError, match="does not offer it"):
        await connect(url, name="test")


async def test_nats_under_another_name_is_refused(ours: Authority) -> None:
    """A good certificate of another host does not count."""
    with (
        servers(postgres=False, valkey=False, nats_tls=ours.elsewhere) as running,
        pytest.raises(LogUnavailableError, match="mismatch"),
    ):
        await connect(running.nats_url, name="test", tls_ca_file=ours.ca_file)


async def test_missing_authority_file_is_named(tls_nats: Servers) -> None:
    """A path that leads nowhere is an error at once, not a server that is trusted."""
    with pytest.raises(LogUnavailableError, match="No such file"):
        await connect(tls_nats.nats_url, name="test", tls_ca_file="/nowhere/ca.pem")


@pytest.fixture
async def store_url(
    request: pytest.FixtureRequest, steady_servers: Servers, ours: Authority
) -> AsyncIterator[str]:
    """Give the address of the store behind TLS, shown with the certificate of `request.param`."""
    plain = urlsplit(steady_servers.valkey_url)
    files = {"here": ours.here, "elsewhere": ours.elsewhere}[request.param]
    assert plain.port is not None
    async with tls_front(plain.port, files) as port:
        yield f"rediss://:{plain.password}@{LOOPBACK}:{port}/0"


@pytest.mark.parametrize("store_url", ["here"], indirect=True)
async def test_store_works_over_tls(
    store_url: str, ours: Authority, new_store: Callable[..., RedisStore]
) -> None:
    """With the authority's file a page is written and read."""
    store = new_store(store_url, namespace="tls:", tls_ca_file=ours.ca_file)
    assert await store.put("page", b"x" * 300_000, fence=1, ttl_s=60)
    assert await store.get("page") == b"x" * 300_000


@pytest.mark.parametrize(
    ("store_url", "trusted", "reason"),
    [
        ("here", "other", "certificate verify failed"),
        ("here", "", "certificate verify failed"),
        ("elsewhere", "ours", "mismatch"),
    ],
    indirect=["store_url"],
)
async def test_store_with_a_wrong_certificate_is_refused(
    store_url: str,
    trusted: str,
    reason: str,
    request: pytest.FixtureRequest,
    new_store: Callable[..., RedisStore],
) -> None:
    """Of an unknown authority, or of another host: the reason is told, and the password is not."""
    ca_file = request.getfixturevalue(trusted).ca_file if trusted else ""
    store = new_store(store_url, tls_ca_file=ca_file)
    with pytest.raises(StoreUnavailableError, match=reason) as refused:
        await store.get("page")
    assert str(urlsplit(store_url).password) not in str(refused.value)


async def test_store_without_tls_is_refused(
    steady_servers: Servers, ours: Authority, new_store: Callable[..., RedisStore]
) -> None:
    """A server that does not answer in TLS gets no password."""
    url = steady_servers.valkey_url.replace("redis://", "rediss://")
    with pytest.raises(StoreUnavailableError):
        await new_store(url, timeout_s=2, tls_ca_file=ours.ca_file).get("page")


def test_the_authorities_are_what_they_say(ours: Authority, other: Authority) -> None:
    """Each file holds one authority, so that the tests above test what they say."""
    for authority in (ours, other):
        assert len(ssl.create_default_context(cafile=authority.ca_file).get_ca_certs()) == 1

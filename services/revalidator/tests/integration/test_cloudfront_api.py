"""boto3 and our time limits against an emulator, and against servers that misbehave."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import boto3
import pytest
from asgi_isr.ports import SystemClock
from perfcheck_chassis import environment, load
from perfcheck_embedded import Servers
from perfcheck_revalidator.cdn.cloudfront_api import CloudFrontApi, CloudFrontError
from perfcheck_revalidator.cdn.cloudfront_items import caller_reference
from perfcheck_revalidator.cdn.port import Cdn, CdnError, PurgeEvent
from perfcheck_revalidator.cdn.price import CounterError
from perfcheck_revalidator.cdn.settings import CdnSettings, cdns_from, trouble_of
from perfcheck_revalidator.cdn.valkey_counter import ValkeyCounter

pytestmark = pytest.mark.integration

START_S = 60.0


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give AWS's chain credentials that open nothing, and no way around the machine."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of AWS's emulator."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = tmp_path_factory.mktemp("moto") / "moto.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  this Python
            command, stdout=output, stderr=output, env=environment()
        )
    try:
        deadline = time.monotonic() + START_S
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "the emulator did not start"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def aws(emulator: str) -> Any:
    """Give a client that looks into the emulator."""
    return boto3.client("cloudfront", region_name="us-east-1", endpoint_url=emulator)


@pytest.fixture
def distribution(aws: Any) -> str:
    """Give the id of a new distribution."""
    config = {
        "CallerReference": str(time.monotonic_ns()),
        "Comment": "",
        "Enabled": True,
        "Origins": {
            "Quantity": 1,
            "Items": [
                {
                    "Id": "bff",
                    "DomainName": "bff.example",
                    "CustomOriginConfig": {
                        "HTTPPort": 80,
                        "HTTPSPort": 443,
                        "OriginProtocolPolicy": "https-only",
                    },
                }
            ],
        },
        "DefaultCacheBehavior": {
            "TargetOriginId": "bff",
            "ViewerProtocolPolicy": "redirect-to-https",
        },
    }
    created = aws.create_distribution(DistributionConfig=config)
    return str(created["Distribution"]["Id"])


@asynccontextmanager
async def opened(counter: ValkeyCounter, **variables: str) -> AsyncIterator[list[Cdn]]:
    """Give the CDNs that these settings make."""
    own = {f"PERFCHECK_{name.upper()}": value for name, value in variables.items()}
    async with AsyncExitStack() as stack:
        cdns = cdns_from(load(CdnSettings, own), counter, SystemClock())
        for cdn in cdns:
            stack.push_async_callback(cdn.close)
        yield cdns


@pytest.fixture
async def counter(running: Servers) -> AsyncIterator[ValkeyCounter]:
    """Give the shared counter on a real store."""
    counting = ValkeyCounter(running.valkey_url, timeout_s=0.5)
    yield counting
    await counting.close()


async def test_purge_and_its_end(
    emulator: str, aws: Any, distribution: str, counter: ValkeyCounter
) -> None:
    """Events of a window become one invalidation of tags and paths, which is seen completed."""
    async with opened(
        counter, cloudfront_distribution_id=distribution, cloudfront_endpoint_url=emulator
    ) as (cdn,):
        events = [
            PurgeEvent("e1", ("currency:usd", "a"), ()),
            PurgeEvent("e2", ("a",), ("/pairs/usd/eur", "/day/*")),
        ]
        (one,), (two,) = await asyncio.gather(
            cdn.purge(events[:1], again=False), cdn.purge(events[1:], again=False)
        )
        assert one.reference == two.reference
        done = await cdn.completed(one)
        assert trouble_of([cdn]) is None
    assert done is not None
    assert done.status == "completed"
    assert done.submitted_at is not None
    assert done.completed_at is not None
    assert done.completed_at >= done.submitted_at
    standing = aws.get_invalidation(DistributionId=distribution, Id=one.reference)
    batch = standing["Invalidation"]["InvalidationBatch"]
    items = ["#a", "#currency:usd", "/day/*", "/pairs/usd/eur*"]
    assert sorted(batch["Paths"]["Items"]) == items
    assert batch["CallerReference"] == caller_reference(
        ["e1", "e2"], again=False, chunk=0, items=items
    )
    key = f"cdn-paths:{distribution}:{done.submitted_at:%Y-%m}"
    assert await counter.add(key, 0, ttl_s=60) == 4


async def test_no_such_distribution_is_permanent(emulator: str) -> None:
    """A distribution that does not exist is refused for good, in AWS's words."""
    api = CloudFrontApi("ENONE", endpoint_url=emulator)
    try:
        with pytest.raises(CloudFrontError, match="NoSuchDistribution") as caught:
            await api.create("r1", ["#a"])
        assert caught.value.permanent
        with pytest.raises(CloudFrontError) as caught:
            await api.status("INONE")
        assert caught.value.permanent
    finally:
        await api.close()


class Scripted:
    """A server that gives every request the next answer; without one it never answers."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.requests: list[bytes] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request for each connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            self.requests.append(await reader.readexactly(length))
            if not self.answers:
                await reader.read()  # until the client gives up
                return
            writer.write(self.answers.pop(0))
            await writer.drain()
        finally:
            writer.close()


def answer(status: str, body: str) -> bytes:
    """Return a whole HTTP answer."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: text/xml\r\nconnection: close\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


def error_xml(code: str, message: str) -> str:
    """Return an error as CloudFront's API writes it."""
    return (
        '<?xml version="1.0"?><ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">'
        f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        "<RequestId>410c2a4b</RequestId></ErrorResponse>"
    )


CREATED = (
    '<?xml version="1.0"?><Invalidation xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">'
    "<Id>I2J0I21PCUYOIK</Id><Status>InProgress</Status>"
    "<CreateTime>2026-11-24T20:00:00Z</CreateTime></Invalidation>"
)


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    """Give a server that speaks what a test tells it to."""
    script = Scripted()
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield script


@pytest.fixture
async def api(scripted: Scripted) -> AsyncIterator[CloudFrontApi]:
    """Give the API of that server, with short time limits."""
    calling = CloudFrontApi("D1", endpoint_url=scripted.url, read_timeout_s=0.5)
    yield calling
    await calling.close()


@pytest.mark.parametrize(
    ("status", "code", "permanent", "unknown"),
    [
        ("400 Bad Request", "TooManyInvalidationsInProgress", False, False),
        ("400 Bad Request", "Throttling", False, False),
        ("503 Service Unavailable", "ServiceUnavailable", False, True),
        ("403 Forbidden", "AccessDenied", True, False),
        ("400 Bad Request", "InvalidArgument", True, False),
    ],
)
async def test_error_answers(
    scripted: Scripted,
    api: CloudFrontApi,
    status: str,
    code: str,
    *,
    permanent: bool,
    unknown: bool,
) -> None:
    """CloudFront's error XML is understood; nothing is retried behind our back."""
    scripted.answers = [answer(status, error_xml(code, "as AWS says it"))]
    with pytest.raises(CloudFrontError, match=f"{code}: as AWS says it") as caught:
        await api.create("r1", ["#a"])
    assert (caught.value.permanent, caught.value.unknown) == (permanent, unknown)
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    "body",
    ["<html>no CloudFront</html>", "not XML", "", "<Invalidation/>"],
)
async def test_lying_server(scripted: Scripted, api: CloudFrontApi, body: str) -> None:
    """An answer that is none can be retried, and counts as perhaps done."""
    scripted.answers = [answer("201 Created", body)]
    with pytest.raises(CloudFrontError) as caught:
        await api.create("r1", ["#a"])
    assert (caught.value.permanent, caught.value.unknown) == (False, True)


async def test_frozen_server(scripted: Scripted, api: CloudFrontApi) -> None:
    """A server that accepts and never answers costs one time limit, and can be retried."""
    async with asyncio.timeout(10):
        with pytest.raises(CloudFrontError, match="no answer of CloudFront") as caught:
            await api.create("r1", ["#a"])
    assert (caught.value.permanent, caught.value.unknown) == (False, True)
    assert len(scripted.requests) == 1


async def test_whole_call_is_bounded(scripted: Scripted) -> None:
    """However slow a call is below, its caller is told in time."""
    api = CloudFrontApi("D1", endpoint_url=scripted.url, read_timeout_s=3, call_timeout_s=0.2)
    with pytest.raises(CloudFrontError, match=r"within 0\.2 s") as caught:
        await api.create("r1", ["#a"])
    await api.close()
    assert (caught.value.permanent, caught.value.unknown) == (False, True)


async def test_refused_connection() -> None:
    """A server that is not there can be retried."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    api = CloudFrontApi("D1", endpoint_url=f"http://127.0.0.1:{port}")
    with pytest.raises(CloudFrontError, match="no answer") as caught:
        await api.status("I1")
    await api.close()
    assert not caught.value.permanent


async def test_retry_after_a_lost_answer_is_byte_for_byte_the_same(
    scripted: Scripted, counter: ValkeyCounter
) -> None:
    """After an answer that got lost, the retry sends the same reference and items."""
    scripted.answers = [
        answer("503 Service Unavailable", error_xml("ServiceUnavailable", "later")),
        answer("201 Created", CREATED),
    ]
    async with opened(
        counter,
        cloudfront_distribution_id="D1",
        cloudfront_endpoint_url=scripted.url,
        cdn_window_s="0",
    ) as (cdn,):
        events = [PurgeEvent("e1", ("a",), ()), PurgeEvent("e2", ("b",), ())]
        with pytest.raises(CdnError) as caught:
            await cdn.purge(events, again=False)
        assert caught.value.retry_after_s is not None
        await asyncio.sleep(caught.value.retry_after_s)
        (purge,) = await cdn.purge(events[1:], again=False)
    assert purge.reference == "I2J0I21PCUYOIK"
    assert len(scripted.requests) == 2
    assert scripted.requests[0] == scripted.requests[1]


async def test_no_credentials_can_be_retried(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, api: CloudFrontApi
) -> None:
    """Without credentials nothing is sent, the reason is said, and it can be tried again."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    for variable in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(variable, os.devnull)
    with pytest.raises(CloudFrontError, match="credentials") as caught:
        await api.create("r1", ["#a"])
    assert (caught.value.permanent, caught.value.unknown) == (False, False)
    assert scripted.requests == []


async def test_counter_is_shared(running: Servers, counter: ValkeyCounter) -> None:
    """Two instances add to one number."""
    other = ValkeyCounter(running.valkey_url)
    assert await counter.add("k", 5, ttl_s=60) == 5
    assert await other.add("k", -2, ttl_s=60) == 3
    await other.close()


async def test_counter_says_that_the_store_is_gone(
    running: Servers, counter: ValkeyCounter
) -> None:
    """A store that is frozen or stopped costs one time limit, and its password is not shown."""
    await counter.add("k", 1, ttl_s=60)
    await running.pause("valkey")
    async with asyncio.timeout(5):
        with pytest.raises(CounterError, match=r"did not answer within 0\.5 s"):
            await counter.add("k", 1, ttl_s=60)
    await running.resume("valkey")
    await counter.add("k", 1, ttl_s=60)
    await running.stop("valkey")
    with pytest.raises(CounterError, match="failed"):
        await counter.add("k", 1, ttl_s=60)

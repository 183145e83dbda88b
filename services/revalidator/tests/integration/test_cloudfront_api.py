"""boto3 and our time limits against servers that misbehave."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest
from asgi_isr.testing import FakeClock
from perfcheck_revalidator.cdn.cloudfront import CloudFront
from perfcheck_revalidator.cdn.cloudfront_api import CloudFrontApi, CloudFrontError
from perfcheck_revalidator.cdn.port import CdnError, PurgeEvent
from perfcheck_revalidator.cdn.price import Budget
from perfcheck_revalidator.cdn.valkey_counter import ValkeyCounter

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("aws_credentials")]


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
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode(errors="surrogateescape")


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
    scripted: Scripted, api: CloudFrontApi, counter: ValkeyCounter
) -> None:
    """After an answer that got lost, the retry sends the same reference and items."""
    scripted.answers = [
        answer("503 Service Unavailable", error_xml("ServiceUnavailable", "later")),
        answer("201 Created", CREATED),
    ]
    clock = FakeClock()
    budget = Budget(counter, clock, usd_per_month_max=1, distribution_id="D1")
    cdn = CloudFront(api, budget, clock, window_s=0, jitter=lambda: 0)
    events = [PurgeEvent("e1", ("a",), ()), PurgeEvent("e2", ("b",), ())]
    with pytest.raises(CdnError) as caught:
        await cdn.purge(events, again=False)
    assert caught.value.retry_after_s is not None
    clock.advance(caught.value.retry_after_s)
    (purge,) = await cdn.purge(events[1:], again=False)
    assert purge.reference == "I2J0I21PCUYOIK"
    assert len(scripted.requests) == 2
    assert scripted.requests[0] == scripted.requests[1]


async def test_address_that_boto3_does_not_take() -> None:
    """An address that boto3 refuses is an error for good that says so."""
    api = CloudFrontApi("D1", endpoint_url="http://aws_emulator:5000")
    with pytest.raises(
        CloudFrontError, match="PERFCHECK_CLOUDFRONT_ENDPOINT_URL: Invalid endpoint"
    ) as caught:
        await api.status("I1")
    await api.close()
    assert caught.value.permanent


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

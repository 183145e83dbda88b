import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from asgi_isr.ports import SystemClock
from asgi_isr.testing import eventually_sync
from perfcheck_chassis.settings import environment, load
from perfcheck_revalidator.cdn.cloudfront_api import CloudFrontApi, CloudFrontError
from perfcheck_revalidator.cdn.cloudfront_items import caller_reference
from perfcheck_revalidator.cdn.port import PurgeEvent
from perfcheck_revalidator.cdn.settings import CdnSettings, cdns_from, unhealthy_reason_of
from perfcheck_revalidator.cdn.valkey_counter import ValkeyCounter

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("aws_credentials")]

START_S = 60.0


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

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True

        eventually_sync(answers, timeout_s=START_S, poll_s=0.05, ignoring=(OSError,))
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


async def test_purge_and_its_end(
    emulator: str, aws: Any, distribution: str, counter: ValkeyCounter
) -> None:
    """Events of a window become one invalidation of tags and paths, which is seen completed."""
    variables = {
        "PERFCHECK_CLOUDFRONT_DISTRIBUTION_ID": distribution,
        "PERFCHECK_CLOUDFRONT_ENDPOINT_URL": emulator,
    }
    (cdn,) = cdns_from(load(CdnSettings, variables), counter, SystemClock())
    try:
        (one,), (two,) = await asyncio.gather(
            cdn.purge([PurgeEvent("e1", ("currency:usd", "a"), ())], again=False),
            cdn.purge([PurgeEvent("e2", ("a",), ("/pairs/usd/eur", "/day/*"))], again=False),
        )
        done = await cdn.completed(one)
        assert unhealthy_reason_of([cdn]) is None
    finally:
        await cdn.close()
    assert one.reference == two.reference
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

"""The revalidator where the broker or the store does not let it in."""

import logging

import pytest
from asgi_isr.testing import eventually
from litestar.testing import AsyncTestClient
from perfcheck_chassis.secret import Secret
from perfcheck_embedded import Servers
from perfcheck_revalidator.app import create_app
from perfcheck_revalidator.settings import Settings

pytestmark = pytest.mark.integration


async def test_wrong_passwords_are_told_and_not_shown(
    running: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """Health and log say who refused, and for which reason; the passwords are in neither."""
    log_place = running.nats_url.rpartition("@")[2]
    store_place = running.valkey_url.rpartition("@")[2]
    settings = Settings(
        nats_url=Secret(f"nats://revalidator:hunter2@{log_place}"),
        valkey_url=Secret(f"redis://:hunter3@{store_place}"),
    )
    with caplog.at_level(logging.DEBUG):
        async with AsyncTestClient(create_app(settings)) as client:

            async def told() -> str | None:
                health = (await client.get("/api/health")).text
                return health if f"cannot connect to NATS at nats://{log_place}" in health else None

            health = await eventually(told, timeout_s=20)
    assert f"the store at redis://{store_place.partition('/')[0]}" in health
    assert "invalid username-password pair" in health
    assert f"cannot connect to NATS at nats://{log_place}" in caplog.text
    for secret in ("hunter2", "hunter3"):
        assert secret not in health + caplog.text

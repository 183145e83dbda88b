import math
from typing import Any

import pytest
from asgi_isr.events import Invalidation
from asgi_isr.testing import eventually
from perfcheck_api import outbox
from perfcheck_api.db import connect as connect_to_database
from perfcheck_chassis.secret import Secret


async def test_publishing_moves_the_metrics(*, schema_url: str, open_client: Any) -> None:
    """Who publishes is active, and counts each event with its batch and its lag in seconds."""
    async with open_client(schema_url) as client:

        async def active() -> bool:
            return bool((await client.metrics())["perfcheck_relay_active"] == 1)

        async def counted() -> bool:
            metrics = await client.metrics()
            return bool(metrics["perfcheck_outbox_publish_lag_seconds_count"] == 2)

        await eventually(active, timeout_s=20)
        before = await client.metrics()
        assert before["perfcheck_outbox_publish_lag_seconds_count"] == 0
        for _ in range(2):
            assert (await client.post("/invalidations", {"tags": ["x"]})).status == 202
        await eventually(counted, timeout_s=20)
        after = await client.metrics()
    assert 0 < after["perfcheck_outbox_publish_lag_seconds_sum"] < 20
    assert after['perfcheck_outbox_publish_lag_seconds_bucket{le="+Inf"}'] == 2
    assert after["perfcheck_outbox_batch_rows_sum"] == 2
    assert after["perfcheck_outbox_batch_rows_count"] in {1, 2}
    assert after["perfcheck_outbox_refused_total"] == 0
    assert after["perfcheck_relay_active"] == 1


async def test_what_waits_is_shown_where_nobody_publishes(
    *, schema_url: str, open_client: Any, no_nats_url: str
) -> None:
    """Without NATS no relay is active, and the backlog shows how many rows wait, and how long."""
    async with connect_to_database(
        Secret(schema_url), name="test", statement_timeout_s=20
    ) as connection:
        await outbox.append_many(connection, [Invalidation(tags=("x",))] * 3)
    async with open_client(schema_url, nats_url=no_nats_url) as client:

        async def looked() -> bool:
            return not math.isnan((await client.metrics())["perfcheck_outbox_unpublished_rows"])

        await eventually(looked, timeout_s=20)
        metrics = await client.metrics()
    assert metrics["perfcheck_relay_active"] == 0
    assert metrics["perfcheck_outbox_unpublished_rows"] == 3
    assert 0 < metrics["perfcheck_outbox_oldest_unpublished_age_seconds"] < 60


async def test_a_backlog_that_cannot_be_seen_is_no_number(
    *, empty_url: str, open_client: Any, no_nats_url: str
) -> None:
    """Without its table, the rows that wait are not known: NaN, as an old number would lie."""
    async with open_client(empty_url, nats_url=no_nats_url) as client:
        metrics = await client.metrics()
    assert metrics["perfcheck_outbox_unpublished_rows"] == pytest.approx(math.nan, nan_ok=True)

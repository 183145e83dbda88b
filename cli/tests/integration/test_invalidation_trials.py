"""Trials of invalidation against small servers: what counts as everywhere, and as failed."""

import math
from typing import Any

import pytest
from perfcheck.api import Api
from perfcheck.check import invalidation
from perfcheck.check.plan import Plan
from perfcheck.exits import TargetError
from perfcheck.http import Http
from perfcheck.judge.config import InvalidationTrials as Settings
from perfcheck.stack.state import Service
from perfcheck.stack.tokens import Tokens

PLAN = Plan(pages=[], currencies=["JPY", "USD"], days=["2026-10-30"])
SETTINGS = Settings(trials=4, timeout_s=0.3, poll_interval_s=0.001)


async def measured(serve: Any, fake_api: Any, token: str, bffs: list[Any]) -> dict[str, Any]:
    """Run the trials and return the measurements by metric; each event makes the pages newer."""

    def apply() -> None:
        for bff in bffs:
            bff.apply(len(fake_api.events))

    fake_api.on_event = apply
    url = serve(fake_api)
    async with Http(timeout_s=5.0) as http:
        api = Api(http, Service(url=url, tokens=Tokens(given=token)))
        urls = [serve(bff) for bff in bffs]
        found = await invalidation.measure(http, api, PLAN, urls, SETTINGS, api_url=url)
    return {each.metric: each for each in found}


async def test_a_trial_takes_as_long_as_the_slowest_task(
    serve: Any, make_bff: Any, fake_api: Any, make_token: Any
) -> None:
    """Each trial invalidates the tag that the API names for the page that is then asked for."""
    token = make_token("invalidations:write")
    found = await measured(serve, fake_api, token, [make_bff(), make_bff()])
    assert found["invalidation_max_ms"].samples == 4
    assert found["invalidation_p50_ms"].value == found["invalidation_max_ms"].value == 5.1
    tags = [event["tags"] for event in fake_api.events.values()]
    assert tags == [["currency:jpy"], ["currency:usd"]] * 2


async def test_an_instance_that_serves_the_old_page_makes_every_trial_fail(
    serve: Any, make_bff: Any, fake_api: Any, make_token: Any
) -> None:
    """A report of a task is not believed when a reader still gets the page as it was."""
    token = make_token("invalidations:write")
    found = await measured(serve, fake_api, token, [make_bff(), make_bff(stuck=True)])
    assert found["invalidation_max_ms"].value == math.inf
    assert found["invalidation_max_ms"].samples == 4
    assert found["invalidation_max_ms"].detail.startswith("4 of 4 trials failed: http://")
    assert "still served as it was" in found["invalidation_max_ms"].detail


async def test_a_task_that_does_not_report_makes_the_trial_fail(
    serve: Any, make_bff: Any, fake_api: Any, make_token: Any
) -> None:
    """What was not applied everywhere in time is counted as late, and the task is named."""
    fake_api.tasks["bff-2"] = None
    found = await measured(
        serve, fake_api, make_token("invalidations:write"), [make_bff(), make_bff()]
    )
    assert found["invalidation_max_ms"].value == math.inf
    assert found["invalidation_max_ms"].detail == "4 of 4 trials failed: not applied by bff-2"


async def test_fewer_live_tasks_than_instances_cannot_be_measured(
    serve: Any, make_bff: Any, fake_api: Any, make_token: Any
) -> None:
    """An instance that the API does not know follows another log, or none."""
    with pytest.raises(TargetError, match="knows of 2 live tasks, but 3 instances"):
        await measured(
            serve, fake_api, make_token("invalidations:write"), [make_bff() for _ in range(3)]
        )

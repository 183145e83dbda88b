import asyncio
import threading

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient
from perfcheck_chassis.http import Health, health_routes


async def passes() -> str | None:
    """Find nothing wrong."""
    return None


async def fails() -> str | None:
    """Find something wrong."""
    return "not joined"


async def hangs() -> str | None:
    """Never answer."""
    await asyncio.Event().wait()
    return None


async def raises() -> str | None:
    """Fail as a driver would."""
    raise OSError("password=hunter2")


def health() -> Health:
    """Return a ready one whose draining is its own."""
    made = Health("shop", "shop-1", draining_event=threading.Event())
    made.ready()
    return made


async def test_pass_when_all_checks_pass() -> None:
    """With every check fine the status is pass, and each check says how long it took."""
    subject = health()
    subject.add("log", passes, required=True)
    report = await subject.report()
    assert report.status == "pass"
    assert report.service == "shop"
    assert report.instance == "shop-1"
    assert report.checks["log"].status == "pass"
    assert report.checks["log"].detail == ""
    assert report.checks["log"].ms >= 0


async def test_optional_check_only_warns() -> None:
    """A failing check that is not required warns and says why."""
    subject = health()
    subject.add("log", passes, required=True)
    subject.add("store", fails, required=False)
    report = await subject.report()
    assert report.status == "warn"
    assert report.checks["store"].status == "warn"
    assert report.checks["store"].detail == "not joined"


async def test_required_check_fails() -> None:
    """A failing required check fails the whole, whatever the others say."""
    subject = health()
    subject.add("log", fails, required=True)
    subject.add("store", fails, required=False)
    assert (await subject.report()).status == "fail"


async def test_hanging_checks_are_bounded_together() -> None:
    """Checks that never answer fail after one second, at the same time."""
    under_way = asyncio.Barrier(2)
    met = 0

    async def hangs_beside_the_other() -> str | None:
        nonlocal met
        await under_way.wait()
        met += 1
        return await hangs()

    subject = health()
    subject.add("one", hangs_beside_the_other, required=True)
    subject.add("two", hangs_beside_the_other, required=True)
    report = await subject.report()
    assert met == 2
    assert report.checks["one"].detail == "no answer within 1 s"
    assert report.checks["two"].status == "fail"


async def test_raising_check_hides_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """What a check raises is in the log; the page names only its type."""
    subject = health()
    subject.add("db", raises, required=True)
    report = await subject.report()
    assert "OSError" in report.checks["db"].detail
    assert "hunter2" not in report.checks["db"].detail
    assert "hunter2" in caplog.text


async def test_states_before_and_after_service() -> None:
    """A process is starting until it is ready, and draining wins over everything."""
    subject = Health("shop", "shop-1", draining_event=threading.Event())
    assert (await subject.report()).status == "starting"
    subject.ready()
    assert (await subject.report()).status == "pass"
    subject.starting()
    assert (await subject.report()).status == "starting"
    subject.draining()
    assert (await subject.report()).status == "draining"


def test_name_is_taken_once() -> None:
    """Two checks of one name are a mistake, told at once."""
    subject = health()
    subject.add("log", passes, required=True)
    with pytest.raises(ValueError, match="'log' exists already"):
        subject.add("log", fails, required=True)


async def test_routes_answer_by_status() -> None:
    """Readiness is 200 or 503 with the report; liveness is 200 throughout; neither is stored."""
    subject = health()
    broken = True

    async def check() -> str | None:
        return "down" if broken else None

    subject.add("log", check, required=True)
    app = Litestar(health_routes(subject), logging_config=None, openapi_config=None)
    async with AsyncTestClient(app) as client:
        answer = await client.get("/api/health")
        assert answer.status_code == 503
        assert answer.json()["status"] == "fail"
        assert answer.json()["checks"]["log"]["detail"] == "down"
        assert answer.headers["cache-control"] == "no-store"
        assert (await client.get("/api/health/live")).status_code == 200
        broken = False
        answer = await client.get("/api/health")
        assert answer.status_code == 200
        assert answer.json()["status"] == "pass"
        live = await client.get("/api/health/live")
        assert live.json() == {"status": "pass"}
        assert live.headers["cache-control"] == "no-store"

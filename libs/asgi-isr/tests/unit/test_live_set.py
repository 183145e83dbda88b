"""The live set, as an observer keeps it: who is there, who has reached what, and since when."""

from typing import Any

import pytest
from asgi_isr import CacheSettings, PageCache
from asgi_isr.coherence import LiveSet, Reached
from asgi_isr.coherence.live_set import HISTORY_MAX, INSTANCES_MAX, LEFT_MAX
from asgi_isr.coherence.rules import MARGIN_S
from asgi_isr.engine.reporter import instance_name, path_of
from asgi_isr.errors import LogUnavailableError
from asgi_isr.logs import MemoryLog
from asgi_isr.reports import INSTANCE_CHARS_MAX, Report
from asgi_isr.testing import eventually
from hypothesis import given
from hypothesis import strategies as st

LEASE_S = 15.0


def report(instance: str, position: int, **fields: Any) -> Report:
    """Return what an instance says."""
    return Report(instance=instance, position=position, lease_s=LEASE_S, **fields)


def known(*reports: Report, now: float = 0.0) -> LiveSet:
    """Return a live set that was loaded empty, and then heard these."""
    live = LiveSet()
    live.loaded((), now)
    for one in reports:
        live.take(one, now)
    return live


def test_all_have_reached_it() -> None:
    """Applied everywhere is what the slowest live instance has applied, with each one's time."""
    live = known(report("a", 5), report("b", 4))
    assert live.applied(Reached("", 5)).missing == ("b",)
    live.take(report("b", 6), 2.5)
    applied = live.applied(Reached("", 5))
    assert applied.everywhere
    assert applied.times == {"a": 0.0, "b": 2.5}
    assert live.everywhere("") == 5


def test_sources_are_counted_apart() -> None:
    """What a source counts is independent of the position, and nothing is known at first."""
    live = known(report("a", 5, source_seqs={"api": 7}), report("b", 9))
    assert live.applied(Reached("api", 7)).missing == ("b",)
    assert live.everywhere("api") == -1
    live.take(report("b", 9, source_seqs={"api": 8}), 1.0)
    assert live.applied(Reached("api", 7)).times == {"a": 0.0, "b": 1.0}


def test_incomplete_set_knows_of_no_everywhere() -> None:
    """Before the registrations were read, and after reports may have been lost, nobody is sure."""
    live = LiveSet()
    live.take(report("a", 5), 0.0)
    assert not live.applied(Reached("", 1)).everywhere
    live.loaded([(report("b", 2), 0.0)], 0.0)
    assert live.applied(Reached("", 1)).everywhere
    assert not live.applied(Reached("", 3)).everywhere
    live.lost()
    assert not live.applied(Reached("", 1)).everywhere


def test_vanished_instance_is_waited_for_until_its_lease_ended() -> None:
    """Who says nothing more stays missing for its lease and a margin, and is then named."""
    live = known(report("a", 5), report("b", 1))
    asked = live.names()
    live.take(report("a", 5), 10.0)
    end = LEASE_S + MARGIN_S
    assert live.expire(end - 0.001) == []
    assert live.applied(Reached("", 5), asked).missing == ("b",)
    assert live.expire(end) == ["b"]
    applied = live.applied(Reached("", 5), asked)
    assert applied.everywhere
    assert applied.vanished == ("b",)


def test_leaving_instance_is_not_waited_for() -> None:
    """An instance's last word takes it out of the set at once."""
    live = known(report("a", 5), report("b", 1))
    live.take(report("b", 1, leaving=True), 1.0)
    assert live.applied(Reached("", 5)).everywhere
    live.take(report("nobody", 1, leaving=True), 1.0)
    assert live.names() == {"a"}


def test_old_registration_is_waited_for_as_long_as_it_could_be_fresh() -> None:
    """A registration read from the stream counts from when it was made, not read."""
    live = LiveSet()
    live.loaded([(report("a", 5), 10.0), (report("b", 5), 60.0)], 100.0)
    assert live.names() == {"a"}
    assert live.expire(100.0 - 10.0 + LEASE_S + MARGIN_S) == ["a"]


def test_what_was_heard_is_newer_than_what_is_read() -> None:
    """A registration does not take back what the instance has said since."""
    live = LiveSet()
    live.take(report("a", 9, report_seq=2), 1.0)
    live.loaded([(report("a", 5, report_seq=1), 3.0)], 2.0)
    assert live.applied(Reached("", 9)).everywhere


def test_instance_that_began_anew_has_reached_nothing_more() -> None:
    """A position that went back is that of a new life: what the old one had reached is void."""
    live = known(report("a", 9))
    live.take(report("a", 4), 1.0)
    assert live.applied(Reached("", 9)).missing == ("a",)


@pytest.mark.parametrize(
    "wrong",
    [report("", 1), report("x" * 129, 1), report("a", -1)],
    ids=["nobody", "long name", "negative"],
)
def test_senseless_report_is_counted_and_ignored(wrong: Report) -> None:
    """A report from nobody, of a name without end, or from before the log changes nothing."""
    live = known(wrong)
    assert len(live) == 0
    assert live.ignored == 1


def test_instances_and_their_past_are_bounded() -> None:
    """Neither many instances nor many reports of one grow without end."""
    live = known(*(report(str(number), 1) for number in range(INSTANCES_MAX + 10)))
    assert len(live) == INSTANCES_MAX
    assert live.ignored == 10
    long = known(*(report("a", number) for number in range(5 * HISTORY_MAX)))
    assert len(long._instances["a"].seqs[""][0]) <= HISTORY_MAX


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.floats(0.1, 9.0), st.booleans()),
    max_size=40,
)


@given(STEPS, st.integers(0, 20))
def test_live_set_agrees_with_a_naive_one(
    steps: list[tuple[str, int, float, bool]], number: int
) -> None:
    """Whatever is reported, who is live and since when each has reached it is as written down."""
    live, now = known(), 0.0
    told: dict[str, list[tuple[float, int]]] = {}
    left = set()
    for name, position, pause_s, leaving in steps:
        now += pause_s
        live.expire(now)
        told = {one: said for one, said in told.items() if said[-1][0] + LEASE_S + MARGIN_S > now}
        live.take(report(name, position, leaving=leaving), now)
        if leaving:
            told.pop(name, None)
            left.add(name)
        if name in left:
            continue
        said = told.setdefault(name, [])
        if said and position < said[-1][1]:
            said.clear()
        said.append((now, position))
    applied = live.applied(Reached("", number))
    times = {
        name: min(at for at, position in said if position >= number)
        for name, said in told.items()
        if said[-1][1] >= number
    }
    assert applied.times == times
    assert set(applied.missing) == told.keys() - times.keys()
    assert applied.everywhere == (not applied.missing)


async def test_nothing_is_fresh_after_the_last_word() -> None:
    """Once an instance has left, it calls no page fresh, though its lease would still run."""
    log = MemoryLog()
    async with PageCache(CacheSettings(lease_s=60.0), log=log) as cache:
        await eventually(lambda: cache.session.lease.until >= cache.clock.monotonic(), timeout_s=5)
    assert log.live.names() == frozenset()
    assert cache.session.lease.until < cache.clock.monotonic()


class DeafLog(MemoryLog):
    """A log that takes no registrations while `deaf`."""

    deaf = True

    async def register(self, report: Report) -> None:
        """Refuse while deaf."""
        if self.deaf:
            raise LogUnavailableError("it takes no registrations")
        await super().register(report)


class FailingLog(MemoryLog):
    """A log whose `register` raises what the port does not know, once an instance leaves."""

    async def register(self, report: Report) -> None:
        """Fail on the last word."""
        if report.leaving:
            raise RuntimeError("a fault of this log")
        await super().register(report)


async def test_fault_of_the_log_does_not_break_the_shutdown() -> None:
    """Whatever a log raises when an instance leaves, the instance ends in order."""
    async with PageCache(CacheSettings(), log=FailingLog()) as cache:
        await eventually(lambda: cache.session.lease.until >= cache.clock.monotonic(), timeout_s=5)
    assert cache.session.lease.until < cache.clock.monotonic()


async def test_no_lease_without_a_registration() -> None:
    """An instance that the live set does not know calls nothing fresh (rule 11)."""
    log = DeafLog()
    async with PageCache(CacheSettings(instance="a/1", lease_s=0.3), log=log) as cache:
        await eventually(lambda: cache.counters.lease_failures >= 2, timeout_s=5)
        assert cache.session.lease.until < cache.clock.monotonic()
        log.deaf = False
        await eventually(lambda: cache.session.lease.until >= cache.clock.monotonic(), timeout_s=5)
        (name,) = log.live.names()
        assert name.startswith("a-1-")
    assert log.live.names() == frozenset()


def test_names_fit_into_subjects() -> None:
    """A name loses what a subject cannot hold, and what is too long."""
    assert instance_name("bff-10.0.0.1>7").startswith("bff-10-0-0-1-7-")
    assert len(instance_name("x" * 1000)) == INSTANCE_CHARS_MAX
    assert instance_name("").isalnum()


def test_each_life_has_a_name_of_its_own() -> None:
    """Two processes with the same setting, one after another or at once, are two instances."""
    assert instance_name("bff") != instance_name("bff")
    assert instance_name("") != instance_name("")


def test_word_after_the_last_one_brings_nobody_back() -> None:
    """A report that was said before the instance left and heard after it is not waited for."""
    live = known(report("a", 5), report("b", 1, report_seq=1))
    live.take(report("b", 1, report_seq=3, leaving=True), 1.0)
    live.take(report("b", 1, report_seq=2), 1.0)
    assert live.names() == {"a"}


def test_names_of_those_that_left_are_bounded() -> None:
    """Instances that come and go for ever take no more memory."""
    live = known(*(report(str(number), 1, leaving=True) for number in range(LEFT_MAX + 10)))
    assert len(live._left) == LEFT_MAX


def test_report_that_was_overtaken_takes_nothing_back() -> None:
    """An earlier report that is heard after a later one changes neither position nor times."""
    live = known(report("a", 9, report_seq=2))
    live.take(report("a", 4, report_seq=1), 1.0)
    assert live.applied(Reached("", 9)).times == {"a": 0.0}
    assert live.everywhere("") == 9


def test_source_that_is_not_named_any_more_is_forgotten() -> None:
    """Who rejoined knows no numbers: what was reached before counts no more."""
    live = known(report("a", 5, source_seqs={"api": 7}))
    live.take(report("a", 9), 1.0)
    assert live.applied(Reached("api", 7)).missing == ("a",)
    assert live._instances["a"].seqs.keys() == {""}


def test_registration_that_was_missed_renews_the_wait() -> None:
    """Who was known before the link broke and registered meanwhile is waited for again."""
    live = known(report("a", 5), report("b", 9, report_seq=4))
    live.lost()
    live.loaded([(report("a", 5, report_seq=8), 1.0), (report("b", 8, report_seq=3), 30.0)], 60.0)
    assert live.names() == {"a"}
    assert live.applied(Reached("", 9)).missing == ("a",)
    assert live.expire(60.0 - 1.0 + LEASE_S + MARGIN_S) == ["a"]


def test_set_beyond_its_bound_is_not_complete() -> None:
    """While there are more instances than can be known nothing counts as applied everywhere."""
    live = known(*(report(str(number), 1) for number in range(INSTANCES_MAX)))
    assert live.applied(Reached("", 1)).everywhere
    live.take(report("one too many", 1), 0.0)
    assert not live.applied(Reached("", 1)).everywhere
    live.loaded([(report("one too many", 1), 0.0)], 0.0)
    assert not live.complete


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("/", "/"),
        ("/pairs/EUR/USD?from=2020", "/pairs/EUR/USD?from=2020"),
        ("https://shop.example/a/b", "/a/b"),
        ("https://shop.example/", "/"),
    ],
)
def test_path_of_a_page(key: str, path: str) -> None:
    """A popular page is named by what a client would ask for."""
    assert path_of(key) == path

import msgspec
from asgi_isr.reports import (
    POPULAR_BYTES_MAX,
    POPULAR_PAGES_MAX,
    PopularPage,
    PopularPages,
)
from asgi_isr.testing import FakeClock
from perfcheck_revalidator.warming.popularity import (
    TOLD_BYTES_MAX,
    TOLD_EVENTS_MAX,
    TOLD_S,
    Plan,
    Popularity,
)
from perfcheck_revalidator.warming.rounds import Outcome, warmed


def told(instance: str, seq: int, **hits: int) -> bytes:
    """Return an instance's message."""
    pages = [PopularPage(path=f"/{name}", hits=count) for name, count in hits.items()]
    return msgspec.json.encode(PopularPages(instance=instance, seq=seq, pages=pages))


def test_hits_are_summed_over_instances() -> None:
    """A page's hits are those of all instances; one that repeats itself counts once."""
    popularity = Popularity(FakeClock())
    popularity.note(told("a", 1, x=2, y=1))
    popularity.note(told("b", 1, x=3))
    popularity.note(told("a", 1, x=2, y=1))
    popularity.note(b"{")
    popularity.note(b'{"seq":"x"}')
    assert popularity.pages(1) == {"/x": 5, "/y": 1}
    assert not popularity.pages(2)


def test_what_is_old_or_too_much_is_forgotten() -> None:
    """A minute later, or 4,096 events later, nothing is known of an event."""
    clock = FakeClock()
    popularity = Popularity(clock)
    popularity.note(told("a", 1, x=1))
    clock.advance(TOLD_S + 1)
    popularity.note(told("a", 2, x=1))
    assert not popularity.pages(1)
    for seq in range(3, TOLD_EVENTS_MAX + 3):
        popularity.note(told("a", seq, x=1))
    assert not popularity.pages(2)
    assert popularity.pages(3)


def test_message_over_a_limit_is_ignored() -> None:
    """Bytes, pages, paths and the name of an instance are bounded, and all that is kept is."""
    popularity = Popularity(FakeClock())
    popularity.note(told("a", 1, x=1) + b" " * POPULAR_BYTES_MAX)
    popularity.note(told("a", 2, **{f"p{n}": 1 for n in range(POPULAR_PAGES_MAX + 1)}))
    popularity.note(told("a" * 200, 3, x=1))
    popularity.note(told("a", 4, **{"/double": 1, "..": 1, "y" * 1024: 1, "good": 1, "q?a=%zz": 1}))
    assert not any(popularity.pages(seq) for seq in (1, 2, 3))
    assert set(popularity.pages(4)) == {"/good", "/q?a=%zz"}
    large = told("a", 5, x=1) + b" " * (POPULAR_BYTES_MAX - 200)
    for seq in range(10, 12 + TOLD_BYTES_MAX // len(large)):
        popularity.note(large.replace(b'"seq":5', b'"seq":%d' % seq))
    assert not popularity.pages(10)
    assert popularity.pages(seq)


def test_a_page_is_asked_for_once_for_the_latest_event() -> None:
    """Events in flight share their pages; the most popular come first, under their last event."""
    popularity = Popularity(FakeClock())
    popularity.note(told("a", 1, x=1, y=5))
    popularity.note(told("a", 2, x=9, z=1))
    plan = Plan({seq: popularity.pages(seq) for seq in (1, 2)})
    assert plan.paths == ["/x", "/y", "/z"]
    assert list(plan.chunks(2)) == [(2, ["/x", "/y"]), (2, ["/z"])]


def test_an_events_pages_are_rendered_failed_or_left() -> None:
    """Each page of an event counts in exactly one way."""
    outcome = Outcome()
    outcome.rendered.add("/a")
    outcome.failed.add("/b")
    counted = warmed(["/a", "/b", "/c"], outcome, 1.0)
    assert (counted.pages, counted.failed, counted.left) == (1, 1, 1)

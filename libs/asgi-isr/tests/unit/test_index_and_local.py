"""The index of an instance and the pages it holds, without any I/O."""

import asyncio
import random

import pytest
from asgi_isr.coherence import RULES, Index, Invalidated, Snapshot, decode_snapshot, encode_snapshot
from asgi_isr.errors import CorruptPageError
from asgi_isr.http.cache_control import cache_control
from asgi_isr.http.codings import IDENTITY, MADE
from asgi_isr.http.fields import matches
from asgi_isr.http.policy import Circumstances, Storing
from asgi_isr.pages.codec import decode, encode
from asgi_isr.pages.entry import READY_MAX, Entry, Ready
from asgi_isr.pages.local import DOUBTS_MAX, SECOND_CHANCES_MAX, LocalPages, Verdict
from asgi_isr.pages.page import Page
from asgi_isr.rendering.making import rendered_page
from asgi_isr.rendering.outcomes import Rendered
from asgi_isr.rendering.request import PageRequest


def page(key: str = "/page", body: bytes = b"x" * 100, tags: tuple[str, ...] = ("a",)) -> Page:
    """Make a page at fence 10."""
    headers = [(b"content-type", b"text/html"), (b"connection", b"x-hop"), (b"x-hop", b"1")]
    rule = Storing(ttl_s=60, swr_s=1, sie_s=2, tags=tags)
    answer = Rendered(200, headers, body, rule, Circumstances(received=5.0))
    return asyncio.run(rendered_page(PageRequest(key, key, []), answer, 10))


def test_verdict_is_the_worst_of_the_tags() -> None:
    """Hard beats soft beats fresh, each only when it came after the fence."""
    index = Index(tags_max=100)
    index.apply(["soft"], 11, hard=False)
    index.apply(["hard"], 12, hard=True)
    assert index.invalidated(["other"], 10) is Invalidated.NOT
    assert index.invalidated(["soft", "other"], 10) is Invalidated.SOFT
    assert index.invalidated(["soft", "hard"], 10) is Invalidated.HARD
    assert index.invalidated(["soft", "hard"], 11) is Invalidated.HARD
    assert index.invalidated(["soft", "hard"], 12) is Invalidated.NOT


def test_soft_after_hard_stays_hard() -> None:
    """Rule 9: a later soft invalidation never weakens an earlier hard one."""
    index = Index(tags_max=100)
    index.apply(["a"], 11, hard=True)
    index.apply(["a"], 12, hard=False)
    assert index.invalidated(["a"], 10) is Invalidated.HARD


@pytest.mark.parametrize("seed", range(20))
def test_pruned_index_never_calls_fresh_what_a_whole_one_does_not(seed: int) -> None:
    """Rule 5: whatever is forgotten, a verdict only ever gets more careful."""
    rng = random.Random(seed)
    whole, small = Index(tags_max=10_000), Index(tags_max=8)
    for seq in range(1, 200):
        tags = {f"t{rng.randrange(40)}" for _ in range(rng.randrange(1, 4))}
        hard = rng.random() < 0.7
        whole.apply(tags, seq, hard=hard)
        small.apply(tags, seq, hard=hard)
        assert len(small) <= 8
        asked = [f"t{rng.randrange(40)}" for _ in range(3)]
        fence = rng.randrange(seq + 1)
        assert small.invalidated(asked, fence) >= whole.invalidated(asked, fence)


def test_pruning_forgets_few_and_the_oldest() -> None:
    """A full index drops a hundredth of its tags, and keeps what was raised since."""
    index = Index(tags_max=1000)
    for seq in range(1, 1001):
        index.apply([f"t{seq}"], seq, hard=seq % 2 == 0)
    index.apply(["t1"], 1001, hard=False)  # the oldest is the newest now
    assert (len(index), index.base) == (1000, 0)
    index.apply(["new"], 1002, hard=True)
    assert 970 < len(index) <= 1000
    assert 2 <= index.base <= 30
    assert index.invalidated(["t1"], 1000) is Invalidated.SOFT
    assert index.invalidated([f"t{index.base + 2}"], index.base + 1) is not Invalidated.NOT


def test_event_larger_than_the_index_is_covered_by_its_base() -> None:
    """What does not fit counts as invalidated, with everything before it."""
    index = Index(tags_max=3)
    index.apply(["a"], 10, hard=False)
    index.apply([f"t{number}" for number in range(10)], 11, hard=True)
    assert len(index) <= 3
    assert index.invalidated(["other"], 10) is Invalidated.HARD
    assert index.invalidated(["other"], 11) is Invalidated.NOT


@pytest.mark.parametrize("seed", range(10))
def test_snapshot_in_any_order_is_pruned_by_age(seed: int) -> None:
    """An instance with a smaller index takes the newest of a snapshot, however it is ordered."""
    rng = random.Random(seed)
    whole = Index(tags_max=1000)
    seqs = rng.sample(range(1, 1000), 100)
    snapshot = Snapshot(
        position=1000,
        stamp=None,
        base=0,
        hard={f"h{seq}": seq for seq in seqs[:60]},
        soft={f"s{seq}": seq for seq in seqs[60:]},
    )
    whole.restore(snapshot)
    small = Index(tags_max=20)
    small.restore(snapshot)
    assert 17 <= len(small) <= 20
    for fence in range(1000):
        for tag in (f"{kind}{seq}" for seq in rng.sample(seqs, 3) for kind in "hs"):
            assert small.invalidated([tag], fence) >= whole.invalidated([tag], fence)


def test_snapshot_round_trip() -> None:
    """A restored index judges as the one it was taken from."""
    index = Index(tags_max=100)
    index.reset(5)
    index.apply(["a"], 11, hard=True)
    index.apply(["b"], 12, hard=False)
    snapshot = decode_snapshot(encode_snapshot(index.snapshot(12, "stamp")))
    assert snapshot is not None
    other = Index(tags_max=100)
    other.restore(snapshot)
    assert (snapshot.position, snapshot.stamp, other.base) == (12, "stamp", 5)
    assert other.invalidated(["a"], 10) is Invalidated.HARD
    assert other.invalidated(["b"], 10) is Invalidated.SOFT
    assert other.invalidated(["c"], 4) is Invalidated.HARD


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x96\x03\x01\xc0\x00\x80\x80",
        b"\x96\x02\x0c\xa2\xc4\xc4\x05\x80\x80",
        b"junk" * 9,
    ],
)
def test_unreadable_snapshot_is_none(data: bytes) -> None:
    """Damaged bytes or another version mean a rejoin, no exception."""
    assert decode_snapshot(data) is None


def test_page_round_trip_keeps_everything() -> None:
    """What was stored is what is read, bodies in every coding included."""
    stored = page(body=b"<p>" * 1000)
    assert decode(encode(stored), "/page") == stored
    assert set(stored.bodies) == {IDENTITY, *MADE}
    assert all(name not in {b"connection", b"x-hop"} for name, _ in stored.headers)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_page_is_corrupt(seed: int) -> None:
    """Any damage, also of a body, raises CorruptPageError and nothing else."""
    rng = random.Random(seed)
    data = bytearray(encode(page()))
    for place in rng.sample(range(len(data)), 3):
        data[place] ^= rng.randrange(1, 256)
    cut = bytes(data[: rng.randrange(len(data))]) if seed % 2 else bytes(data)
    with pytest.raises(CorruptPageError):
        decode(cut, "/page")


def test_page_of_another_key_or_version_is_corrupt() -> None:
    """A page is good for its own key and for this format only."""
    data = encode(page())
    with pytest.raises(CorruptPageError, match="holds '/page', not '/other'"):
        decode(data, "/other")
    with pytest.raises(CorruptPageError, match="format"):
        decode(b"\x00" + data[1:], "/page")


def entry(key: str, size: int = 1000, tags: tuple[str, ...] = ("a",)) -> Entry:
    """Make an entry whose body does not compress."""
    body = random.Random(key).randbytes(size)
    return Entry(page(key, body, tags), now=100, wall=5)


def local_pages(*, bytes_max: int, index: Index | None = None) -> LocalPages:
    """Return an empty place for pages, which `index` judges, if one is given."""

    def judge(held: Entry) -> Verdict:
        found = Invalidated.NOT
        if index is not None:
            found = index.invalidated(held.page.tags, held.fence)
        return Verdict(soft=found is Invalidated.SOFT, hard=found is Invalidated.HARD)

    return LocalPages(bytes_max=bytes_max, judge=judge, at_once=RULES.pages_at_once())


def test_local_pages_stay_within_their_bytes() -> None:
    """The least recently used page goes first; a used one gets a second chance."""
    each = entry("/0").size
    local = local_pages(bytes_max=each * 10 + 100)
    for number in range(10):
        assert local.put(entry(f"/{number}"))
    local.entries["/0"].used = True
    local.put(entry("/new"))
    assert "/0" in local.entries
    assert "/1" not in local.entries
    assert local.bytes <= each * 10 + 100
    assert local.evicted == 1


def test_one_large_entry_cannot_evict_everything() -> None:
    """An entry over an eighth of the space is not kept."""
    local = local_pages(bytes_max=entry("/0").size * 10)
    local.put(entry("/0"))
    assert not local.put(entry("/large", size=10_000))
    assert set(local.entries) == {"/0"}


def test_reverse_index_is_bounded_with_the_pages() -> None:
    """When pages go, by eviction, invalidation or replacement, their tags go too."""
    local = local_pages(bytes_max=1_000_000)
    for number in range(20):
        local.put(entry(f"/{number % 10}", tags=(f"t{number}",)))
    local.invalidate(["t19", "t3", "none"], hard=True, now=1)
    assert "/9" not in local.entries
    local.drop("/0")
    local.clear()
    assert (local.bytes, local._by_tag) == (0, {})


def test_local_accounts_return_to_zero() -> None:
    """Dropping each page leaves no byte and no tag behind."""
    local = local_pages(bytes_max=1_000_000)
    for number in range(5):
        local.put(entry(f"/{number}"))
    for number in range(5):
        local.drop(f"/{number}")
    assert (local.bytes, local._by_tag) == (0, {})


def test_soft_mark_keeps_its_first_time() -> None:
    """A page is stale since the first soft invalidation, not the last."""
    local = local_pages(bytes_max=1_000_000)
    local.put(entry("/page"))
    local.invalidate(["a"], hard=False, now=1)
    local.invalidate(["a"], hard=False, now=2)
    assert local.entries["/page"].soft_since == 1


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b'"a"', True),
        (b'W/"a"', True),
        (b'"b", "a"', True),
        (b"*", True),
        (b'"b"', False),
        (b"a", False),
        (b"", False),
    ],
)
def test_validators_compare_weakly(sent: bytes, expected: object) -> None:
    """If-None-Match is a list, compared weakly (RFC 9110, section 13.1.2)."""
    assert matches(sent, b'"a"') is expected


def test_directives_are_read_leniently() -> None:
    """Quoting, unknown and broken directives do not hide the known ones."""
    parsed = cache_control(['a, b="c,d" ,max-age=5', "no-store; x, s-maxage = 9"])
    assert parsed == {"a": "", "b": "c,d", "max-age": "5", "no-store": "; x", "s-maxage": " = 9"}


def many_pages(index: Index) -> LocalPages:
    """Hold more pages of one tag than are marked at once."""
    local = local_pages(bytes_max=10**8, index=index)
    for number in range(RULES.pages_at_once() + 1):
        local.put(entry(f"/{number}", size=10))
    local.put(entry("/other", size=10, tags=("b",)))
    return local


def test_pages_of_a_large_hard_invalidation_are_judged_when_used() -> None:
    """Thousands of pages are not dropped in one go, but none of them is of use any more."""
    index = Index(tags_max=10)
    local = many_pages(index)
    index.apply(["a"], 11, hard=True)
    local.invalidate(["a"], hard=True, now=101)
    assert len(local.entries) == RULES.pages_at_once() + 2
    assert local.get("/0") is None
    assert "/0" not in local.entries
    other = local.get("/other")
    assert other is not None
    assert other.good_at == local.doubts


def test_pages_of_a_large_soft_invalidation_are_stale_since_then() -> None:
    """A page that is judged later is stale since the first of the events that it has missed."""
    index = Index(tags_max=10)
    local = many_pages(index)
    for seq, now in ((11, 101.0), (12, 102.0), (13, 103.0)):
        index.apply(["a"], seq, hard=False)
        local.invalidate(["a"], hard=False, now=now)
        early = local.get("/0")
        assert early is not None
        assert early.soft_since == 101.0
    local.get("/other")
    index.apply(["b"], 14, hard=False)
    local.invalidate(["b"], hard=False, now=104.0)
    found = {key: local.get(key) for key in ("/1", "/other")}
    assert {key: held.soft_since for key, held in found.items() if held} == {
        "/1": 101.0, "/other": 104.0,
    }  # fmt: skip


def test_doubts_beyond_memory_make_a_page_stale_since_it_was_made() -> None:
    """Where it is not known any more when a page was invalidated, the earliest time counts."""
    index = Index(tags_max=10)
    local = many_pages(index)
    for seq in range(11, 12 + DOUBTS_MAX):
        index.apply(["a"], seq, hard=False)
        local.invalidate(["a"], hard=False, now=float(seq))
    found = local.get("/0")
    assert found is not None
    assert found.soft_since == found.created


def test_eviction_ends_though_every_page_is_used() -> None:
    """A page goes after a bounded number of second chances, so that no store takes long."""
    each = entry("/0000", size=10).size
    local = local_pages(bytes_max=each * 1000 + 100)
    for number in range(1000):
        local.put(entry(f"/{number:04}", size=10))
    for held in local.entries.values():
        held.used = True
    local.put(entry("/newer", size=10))
    assert sum(held.used for held in local.entries.values()) >= 1000 - 2 * SECOND_CHANCES_MAX
    assert local.bytes <= each * 1000 + 100


def test_fields_of_hits_are_kept_for_few_pages() -> None:
    """The fields made for a second are bounded, however many pages are hit within it."""
    ready = Ready()
    held = [entry(f"/{number}", size=10) for number in range(READY_MAX + 10)]
    for one in held:
        one.answer(codings=(), now=101, name="x", ready=ready)
    assert sum(bool(one.identity.fields) for one in held) == READY_MAX
    assert not held[0].identity.fields
    again = held[0].answer(codings=(), now=101, name="x", ready=ready)
    assert (b"age", b"1") in again.fields


def test_pages_share_their_repeated_fields() -> None:
    """A field that two pages have is one object, also when they came from the store."""
    one, other = page("/a"), decode(encode(page("/b")), "/b")
    assert isinstance(other, Page)
    assert one.headers[0] is other.headers[0]
    assert one.tags[-1] is other.tags[-1]

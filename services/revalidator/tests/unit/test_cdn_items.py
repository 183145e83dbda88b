import random

import pytest
from perfcheck_revalidator.cdn.cloudfront_items import (
    ITEMS_MAX,
    WILDCARDS_MAX,
    caller_reference,
    chunks_of,
    items_of,
)
from perfcheck_revalidator.cdn.names import names_of, spellings
from perfcheck_revalidator.cdn.port import PurgeEvent


def event(*, tags: tuple[str, ...] = (), paths: tuple[str, ...] = ()) -> PurgeEvent:
    """Return an event with these names."""
    return PurgeEvent("e1", tags, paths)


@pytest.mark.parametrize(
    ("tags", "paths", "items"),
    [
        (("currency:usd",), (), ["#currency:usd"]),
        (("Currency:USD", "currency:usd"), (), ["#currency:usd"]),
        (("a", "*", "b"), ("/x",), ["/*"]),
        ((), ("/*",), ["/*"]),
        ((), ("/pairs/usd/eur",), ["/pairs/usd/eur*"]),
        ((), ("/pairs/usd/*",), ["/pairs/usd/*"]),
        ((), ("/pairs/usd/*", "/pairs/usd/eur"), ["/pairs/usd/*"]),
        ((), ("/",), ["/", "/?*"]),
        ((), ("/pairs/",), ["/pairs/", "/pairs/?*"]),
        ((), ("/pairs/", "/pairs/*"), ["/pairs/*"]),
        ((), ("/a*",), ["/a%2A*"]),
        ((), ("/Pairs/USD",), ["/Pairs/USD*", "/pairs/usd*"]),
        ((), ("/café",), ["/caf%C3%A9*"]),
        ((), ("/caf%C3%A9",), ["/caf%C3%A9*"]),
        ((), ("/p%61irs",), ["/p%61irs*", "/pairs*"]),
        (("path:/pairs/usd/*",), (), ["/pairs/usd/*"]),
        (("path:#0123",), (), ["/*"]),
        (("a b", "a,b", "ä", "", "x" * 257, "ok"), ("pairs", "*", ""), ["#ok"]),
    ],
)
def test_items(tags: tuple[str, ...], paths: tuple[str, ...], items: list[str]) -> None:
    """Names become CloudFront's items: no page that an event means is left out."""
    assert items_of(names_of([event(tags=tags, paths=paths)])) == items


def test_long_path_is_cut_into_a_wildcard() -> None:
    """A path that is too long for an item purges what begins as it does."""
    path = "/" + "é" * 1023
    (item,) = items_of(names_of([event(paths=(path,))]))
    assert len(item) <= 4000
    assert item.endswith(("%C3*", "%A9*"))
    assert spellings(path)[0].startswith(item[:-1])


def test_many_paths_become_few_wildcards() -> None:
    """More paths than CloudFront takes wildcards are widened until they fit, and lose none."""
    rng = random.Random(7)
    for _ in range(200):
        paths = tuple(
            "/"
            + "/".join(rng.choice("abcdef") for _ in range(rng.randint(0, 5)))
            + rng.choice(("", "/", "/*"))
            for _ in range(rng.randint(1, 60))
        )
        items = items_of(names_of([event(paths=paths)]))
        wildcards = [item[:-1] for item in items if item.endswith("*")]
        assert len(wildcards) <= WILDCARDS_MAX
        for path in paths:
            asked = path[:-1] + "below" if path.endswith("/*") else path
            for url in (asked, asked + "?year=1999"):
                assert url in items or any(url.startswith(prefix) for prefix in wildcards), path


def test_neighbours_are_not_purged_where_few_paths_are_named() -> None:
    """Up to the limit, paths keep their own wildcards."""
    paths = tuple(f"/pairs/usd/{number}x" for number in range(WILDCARDS_MAX))
    items = items_of(names_of([event(paths=paths)]))
    assert items == [f"{path}*" for path in sorted(paths)]


def test_chunks_hold_every_item_once() -> None:
    """More items than one invalidation takes are split without loss."""
    items = [f"#{number}" for number in range(2 * ITEMS_MAX + 1)]
    chunks = chunks_of(items)
    assert [len(chunk) for chunk in chunks] == [ITEMS_MAX, ITEMS_MAX, 1]
    assert [item for chunk in chunks for item in chunk] == items


def test_reference_names_the_purge() -> None:
    """The same purge has the same reference, in any order; every other has another."""
    one = caller_reference(["a", "b"], again=False, chunk=0, items=["#x"])
    assert one == caller_reference(["b", "a"], again=False, chunk=0, items=["#x"])
    others = {
        caller_reference(["a", "b"], again=True, chunk=0, items=["#x"]),
        caller_reference(["a", "b"], again=False, chunk=1, items=["#x"]),
        caller_reference(["a"], again=False, chunk=0, items=["#x"]),
        caller_reference(["ab"], again=False, chunk=0, items=["#x"]),
        caller_reference(["a", "b"], again=False, chunk=0, items=["#y"]),
    }
    assert len(others | {one}) == 6
    assert len(one) <= 128

"""Reading Cache-Status and Server-Timing."""

import pytest
from perfcheck.check.cache_status import durations_ms, fence, is_hit


@pytest.mark.parametrize(
    ("header", "hit", "position"),
    [
        (None, False, None),
        ("", False, None),
        ("asgi-isr; hit; ttl=86390; detail=local; fence=1795400000000123", True, 1795400000000123),
        ("asgi-isr; fwd=uri-miss; stored; fence=17", False, 17),
        ("asgi-isr; fwd=stale; stored; fence=17", False, 17),
        ("asgi-isr; hit; ttl=-3; detail=stale-soft; fence=4", False, 4),
        ("origin; hit; fence=1, asgi-isr; fwd=miss; fence=2", False, 2),
        ("origin; fwd=miss, asgi-isr; hit; fence=9", True, 9),
        ("asgi-isr; hit; fence=new", True, None),
    ],
)
def test_cache_status(header: str | None, hit: bool, position: int | None) -> None:  # noqa: FBT001 -- a case
    """Only a fresh hit is one, and the fence is that of the cache nearest to us."""
    assert is_hit(header) is hit
    assert fence(header) == position


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, {}),
        ("api;dur=1.25, hop;dur=0.5, render;dur=3", {"api": 1.25, "hop": 0.5, "render": 3.0}),
        ('api;desc="x";dur="2"', {"api": 2.0}),
        ("api, hop;dur=soon, render;dur=1", {"render": 1.0}),
    ],
)
def test_server_timing(header: str | None, expected: dict[str, float]) -> None:
    """Entries without a number are left out, never 0."""
    assert durations_ms(header) == expected

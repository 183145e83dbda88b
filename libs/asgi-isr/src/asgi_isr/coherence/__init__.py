"""The coherence protocol: index, follower, lease, live set. No HTTP, no bytes of pages."""

from asgi_isr.coherence.follower import Follower, FollowerCounters
from asgi_isr.coherence.index import Index
from asgi_isr.coherence.live_set import LiveSet, Observer, Progress, Reached
from asgi_isr.coherence.snapshot import (
    Snapshot,
    decode_snapshot,
    encode_snapshot,
    read_snapshot,
    snapshot_key,
)

__all__ = [
    "Follower",
    "FollowerCounters",
    "Index",
    "LiveSet",
    "Observer",
    "Progress",
    "Reached",
    "Snapshot",
    "decode_snapshot",
    "encode_snapshot",
    "read_snapshot",
    "snapshot_key",
]

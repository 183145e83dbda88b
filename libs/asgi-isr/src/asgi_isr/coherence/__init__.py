"""The coherence protocol: index, follower, lease, live set. No HTTP, no bytes of pages."""

from asgi_isr.coherence.follower import Follower
from asgi_isr.coherence.index import Index
from asgi_isr.coherence.lease import Lease
from asgi_isr.coherence.live_set import LiveSet, Observer, Progress, Reached
from asgi_isr.coherence.rules import RULES, Invalidated, Rules, Seen
from asgi_isr.coherence.snapshot import (
    Snapshot,
    decode_snapshot,
    encode_snapshot,
    read_snapshot,
    snapshot_key,
)

__all__ = [
    "RULES",
    "Follower",
    "Index",
    "Invalidated",
    "Lease",
    "LiveSet",
    "Observer",
    "Progress",
    "Reached",
    "Rules",
    "Seen",
    "Snapshot",
    "decode_snapshot",
    "encode_snapshot",
    "read_snapshot",
    "snapshot_key",
]

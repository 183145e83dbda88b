"""Rules of publishing invalidations: pure, no I/O, no clock."""

import hashlib

import msgspec
from asgi_isr.coherence import Progress as Reach
from perfcheck_contracts import Applied

IDEMPOTENCY_KEY_CHARS_MAX = 255
IDEMPOTENCY_KEY_LIFETIME_S = 86_400.0


def key_lock(caller: str, key: str) -> int:
    """Return the number of the advisory lock of an idempotency key."""
    digest = hashlib.blake2b(msgspec.json.encode([caller, key]), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def applied_since(reach: Reach, started: float, *, unknown: str) -> Applied:
    """Return how an event reached the instances, in milliseconds since `started`."""
    times_ms = {instance: 1000 * max(0.0, at - started) for instance, at in reach.times.items()}
    return Applied.of(times_ms, vanished=reach.vanished, missing=reach.missing, unknown=unknown)

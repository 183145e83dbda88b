"""Snapshots of an index, in the shared store: with one an instance joins warm (rule 6)."""

import asyncio
import logging

import msgspec

from asgi_isr.ports import Store

logger = logging.getLogger(__name__)

SNAPSHOT_VERSION = 2
SNAPSHOT_TIMEOUT_S = 2.0  # a snapshot is large, and read once, before the first request


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An index at a position, as the revalidator keeps it in the shared store (rule 6).

    `stamp` identifies the event at `position` (rule 7), None where the log held none there.
    """

    version: int = SNAPSHOT_VERSION
    position: int
    stamp: str | None
    base: int
    hard: dict[str, int]
    soft: dict[str, int]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return the bytes of a snapshot for the shared store."""
    return _encoder.encode(snapshot)


def decode_snapshot(data: bytes) -> Snapshot | None:
    """Read a snapshot; None when the bytes are not of this version (then the instance rejoins)."""
    try:
        snapshot = _decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return None
    return snapshot if snapshot.version == SNAPSHOT_VERSION else None


def snapshot_key(namespace: str) -> str:
    """Return the key of the index snapshot."""
    return f"{namespace}:snapshot"


async def read_snapshot(store: Store, namespace: str) -> Snapshot | None:
    """Return the latest snapshot of the index, or None if there is none that can be read."""
    try:
        async with asyncio.timeout(SNAPSHOT_TIMEOUT_S):
            data = await store.get(snapshot_key(namespace))
    except Exception as error:  # noqa: BLE001  whatever it is, the log alone is enough to join
        logger.warning("no snapshot, the store is unavailable: %r", error)
        return None
    return decode_snapshot(data) if data is not None else None

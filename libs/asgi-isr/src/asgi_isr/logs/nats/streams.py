"""The log's two streams: invalidations, as rule 7 of the protocol says, and instances (rule 11)."""

from collections.abc import Mapping
from typing import Any

from nats.js import JetStreamContext

from asgi_isr.events import LOG_SUBJECT_PREFIX, MARK_SUBJECT_PREFIX, STREAM, SUBJECT_PREFIX
from asgi_isr.nats.streams import StreamSpec, stream_flaws
from asgi_isr.nats.streams import ensure_stream as ensure
from asgi_isr.ports import Clock, SystemClock
from asgi_isr.reports import INSTANCES_STREAM, INSTANCES_SUBJECT_PREFIX, LEASE_S_MAX

__all__ = [
    "altered",
    "ensure_instances_stream",
    "ensure_stream",
    "instances_spec",
    "invalidations_spec",
    "repair_streams",
]

INVALIDATIONS_AGE_S_MAX = 7 * 86400.0
INVALIDATIONS_BYTES_MAX = 1 << 30
# A message is published again when its answer did not come: after a time limit, a connection, a
# wait: some 15 s at most. Later it would be stored twice, which costs a second invalidation; but
# for so long whoever takes an id first keeps others from using it.
DUPLICATE_WINDOW_S = 30.0
INSTANCES_BYTES_MAX = 16 * 1024 * 1024
_REGISTRATION_MARGIN_S = 60.0  # a registration is kept for longer than any lease


def invalidations_spec(
    *,
    replicas: int = 1,
    age_s_max: float = INVALIDATIONS_AGE_S_MAX,
    bytes_max: int = INVALIDATIONS_BYTES_MAX,
) -> StreamSpec:
    """Return what the stream of invalidations must be."""
    return StreamSpec(
        name=STREAM,
        description="Page cache invalidations; the sequence is the clock of all caches",
        subjects=(f"{SUBJECT_PREFIX}.>", f"{MARK_SUBJECT_PREFIX}.>"),
        age_s_max=age_s_max,
        bytes_max=bytes_max,
        duplicate_window_s=DUPLICATE_WINDOW_S,
        append_only=True,
        begins_with_time=True,
        republish_prefix=LOG_SUBJECT_PREFIX,
        replicas=replicas,
    )


def altered(config: Mapping[str, Any]) -> bool:
    """Say whether a stream of invalidations is configured otherwise than it must be."""
    return bool(stream_flaws(config, invalidations_spec()))


def instances_spec(*, replicas: int = 1) -> StreamSpec:
    """Return what the stream of registrations must be."""
    return StreamSpec(
        name=INSTANCES_STREAM,
        description="The last word of each instance of the page cache",
        subjects=(f"{INSTANCES_SUBJECT_PREFIX}.>",),
        age_s_max=LEASE_S_MAX + _REGISTRATION_MARGIN_S,
        bytes_max=INSTANCES_BYTES_MAX,
        last_of_each_subject=True,
        replicas=replicas,
    )


async def ensure_stream(
    js: JetStreamContext,
    *,
    replicas: int = 1,
    age_s_max: float = INVALIDATIONS_AGE_S_MAX,
    bytes_max: int = INVALIDATIONS_BYTES_MAX,
    clock: Clock | None = None,
) -> bool:
    """Create the stream of invalidations, or repair it; return whether this call created it.

    Several processes may call it at once. Take 3 `replicas` in production. Raises
    `LogConfigurationError` if a stream of this name exists that must not be used, and
    `LogUnavailableError` if JetStream does not answer.
    """
    spec = invalidations_spec(replicas=replicas, age_s_max=age_s_max, bytes_max=bytes_max)
    return await ensure(js, spec, wall=(clock or SystemClock()).wall)


async def repair_streams(js: JetStreamContext, *, replicas: int = 1) -> None:
    """Look at both streams, and repair what somebody altered; nothing is created.

    To be called again and again by the writers' side. Raises as the functions that create them do;
    for a missing one `LogUnavailableError`.
    """
    for spec in (invalidations_spec(replicas=replicas), instances_spec(replicas=replicas)):
        await ensure(js, spec, wall=SystemClock().wall, create=False)


async def ensure_instances_stream(js: JetStreamContext, *, replicas: int = 1) -> None:
    """Create the stream of registrations, or repair it.

    Raises `LogConfigurationError` if a stream of this name exists that must not be used, and
    `LogUnavailableError` if JetStream does not answer.
    """
    await ensure(js, instances_spec(replicas=replicas), wall=SystemClock().wall)

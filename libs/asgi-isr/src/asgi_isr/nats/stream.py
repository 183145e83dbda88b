"""The stream that is the invalidation log, created as rule 7 of the protocol says."""

import asyncio
from dataclasses import dataclass
from typing import Any

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

from asgi_isr.errors import IsrError, LogUnavailableError
from asgi_isr.events import MARK_SUBJECT_PREFIX, STREAM, SUBJECT_PREFIX
from asgi_isr.ports import Clock, SystemClock

AGE_S_MAX = 7 * 86400.0
BYTES_MAX = 1 << 30
DUPLICATE_WINDOW_S = 120.0
TIMEOUT_S = 5.0
_ATTEMPTS_MAX = 5
_ATTEMPT_WAIT_S = 0.1
# Microseconds of 2001: a stream that begins below was not created with the time as `first_seq`.
FIRST_SEQ_MIN = 10**15

_SUBJECTS = [f"{SUBJECT_PREFIX}.>", f"{MARK_SUBJECT_PREFIX}.>"]


class LogConfigurationError(IsrError):
    """The stream exists, but with a configuration that breaks the protocol's rule 7."""


@dataclass(frozen=True)
class _Demand:
    field: str
    wanted: str
    met: bool


async def ensure_stream(
    js: JetStreamContext,
    *,
    replicas: int = 1,
    age_s_max: float = AGE_S_MAX,
    bytes_max: int = BYTES_MAX,
    clock: Clock | None = None,
) -> bool:
    """Create the stream of invalidations unless it exists; return whether this call created it.

    Several processes may call it at once. Take 3 `replicas` in production. Raises
    `LogConfigurationError` if a stream of this name exists that must not be used, and
    `LogUnavailableError` if JetStream does not answer.
    """
    now = (clock or SystemClock()).wall()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            existing = await _create(js, _config(now, replicas, age_s_max, bytes_max))
    except TimeoutError as error:
        raise LogUnavailableError(f"JetStream did not answer within {TIMEOUT_S:g} s") from error
    except (NatsError, OSError) as error:
        raise LogUnavailableError(f"cannot create the stream {STREAM}: {error}") from error
    if existing is not None:
        _check(existing, replicas)
    return existing is None


async def _create(js: JetStreamContext, wanted: StreamConfig) -> StreamConfig | None:
    """Create the stream; return None, or the configuration of the one that exists already."""
    attempts = 0
    while True:
        existing = await _existing(js)
        if existing is not None:
            return existing
        try:
            await js.add_stream(wanted)
        except APIError:
            # Another process may be creating it: then its `first_seq` is another time, or the
            # bytes that it reserves leave no room for ours until the server sees they are one.
            attempts += 1
            if attempts == _ATTEMPTS_MAX:
                raise
            await asyncio.sleep(_ATTEMPT_WAIT_S)
        else:
            return None


async def _existing(js: JetStreamContext) -> StreamConfig | None:
    try:
        return (await js.stream_info(STREAM)).config
    except NotFoundError:
        return None


def _config(now: float, replicas: int, age_s_max: float, bytes_max: int) -> StreamConfig:
    return StreamConfig(
        name=STREAM,
        description="Page cache invalidations; the sequence is the clock of all caches",
        subjects=_SUBJECTS,
        first_seq=int(now * 1_000_000),
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        storage=StorageType.FILE,
        num_replicas=replicas,
        max_age=age_s_max,
        max_bytes=bytes_max,
        max_msgs=-1,
        max_consumers=-1,
        max_msgs_per_subject=-1,
        duplicate_window=min(DUPLICATE_WINDOW_S, age_s_max),
        deny_delete=True,
        deny_purge=True,
        allow_rollup_hdrs=False,
    )


def _check(config: StreamConfig, replicas: int) -> None:
    """Raise `LogConfigurationError` naming every field of `config` that breaks the protocol."""
    per_subject: Any = config.max_msgs_per_subject
    demands = [
        _Demand("subjects", str(_SUBJECTS), set(config.subjects or ()) == set(_SUBJECTS)),
        _Demand("first_seq", "microseconds since 1970", (config.first_seq or 0) >= FIRST_SEQ_MIN),
        _Demand("deny_delete", "true", config.deny_delete),
        _Demand("deny_purge", "true", config.deny_purge),
        _Demand("retention", "limits", config.retention == RetentionPolicy.LIMITS),
        _Demand("discard", "old", config.discard == DiscardPolicy.OLD),
        _Demand("storage", "file", config.storage == StorageType.FILE),
        _Demand("num_replicas", f">= {replicas}", (config.num_replicas or 1) >= replicas),
        _Demand("max_msgs_per_subject", "-1", per_subject in (None, -1, 0)),
        _Demand("allow_msg_ttl", "false", not config.allow_msg_ttl),
        _Demand("allow_rollup_hdrs", "false", not config.allow_rollup_hdrs),
        _Demand("sealed", "false", not config.sealed),
        _Demand("no_ack", "false", not config.no_ack),
        _Demand("mirror", "none", config.mirror is None),
        _Demand("sources", "none", not config.sources),
        _Demand("subject_transform", "none", config.subject_transform is None),
        _Demand("persist_mode", "default", config.persist_mode in (None, "default")),
    ]
    broken = [
        f"{demand.field} is {getattr(config, demand.field)!r}, must be {demand.wanted}"
        for demand in demands
        if not demand.met
    ]
    if broken:
        raise LogConfigurationError(
            f"the stream {STREAM} exists but cannot be used: {'; '.join(broken)}."
            " Edit it, or delete it and start again"
        )

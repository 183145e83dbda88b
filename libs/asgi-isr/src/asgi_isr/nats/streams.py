"""Streams of JetStream: what they must be, their creation, and the check of one that exists."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

from asgi_isr.errors import IsrError, LogUnavailableError

__all__ = ["LogConfigurationError", "StreamSpec", "check_stream", "ensure_stream"]

STREAM_SETUP_S_MAX = 5.0
_CREATE_ATTEMPTS_MAX = 5
_CREATE_WAIT_S = 0.1
# Microseconds of 2001: a stream that begins below was not created with the time as `first_seq`.
FIRST_SEQ_MIN = 10**15


class LogConfigurationError(IsrError):
    """The stream exists, but with a configuration that would break something; says which fields."""


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as its users need it.

    Attributes:
        name: of the stream.
        subjects: all that it takes, and nothing else.
        description: for who looks at the server.
        retention: `workqueue` removes a message once it is acknowledged, `limits` by age and size.
        age_s_max: a message is removed when it is older; of a new stream.
        bytes_max: over it the oldest messages are removed; of a new stream.
        age_s_min: an existing stream must keep messages for so long.
        message_bytes_min: an existing stream must take messages of this size.
        last_of_each_subject: it keeps the last message of each subject and no other.
        duplicate_window_s: in which a `Nats-Msg-Id` is known again; of a new stream.
        append_only: nobody may delete messages or purge; else deleting must be allowed.
        begins_with_time: its first sequence is the time of its creation, in µs since 1970.
        replicas: how many servers hold it, at least.

    """

    name: str
    subjects: tuple[str, ...]
    description: str = ""
    retention: Literal["limits", "workqueue"] = "limits"
    age_s_max: float
    bytes_max: int
    age_s_min: float = 0.0
    message_bytes_min: int = 0
    last_of_each_subject: bool = False
    duplicate_window_s: float = 120.0
    append_only: bool = False
    begins_with_time: bool = False
    replicas: int = 1

    def config(self, now_s: float) -> StreamConfig:
        """Return how it is created at `now_s` (since 1970)."""
        return StreamConfig(
            name=self.name,
            description=self.description,
            subjects=list(self.subjects),
            first_seq=int(now_s * 1_000_000) if self.begins_with_time else None,
            retention=RetentionPolicy(self.retention),
            discard=DiscardPolicy.OLD,
            storage=StorageType.FILE,
            num_replicas=self.replicas,
            max_age=self.age_s_max,
            max_bytes=self.bytes_max,
            max_msgs=-1,
            max_consumers=-1,
            max_msgs_per_subject=1 if self.last_of_each_subject else -1,
            duplicate_window=min(self.duplicate_window_s, self.age_s_max),
            deny_delete=self.append_only,
            deny_purge=self.append_only,
            allow_rollup_hdrs=False,
        )


async def ensure_stream(
    js: JetStreamContext, spec: StreamSpec, *, wall: Callable[[], float]
) -> bool:
    """Create the stream unless it exists, and check it; return whether this call created it.

    Several processes may call it at once. `wall` gives seconds since 1970. Raises
    `LogConfigurationError` if a stream of this name exists that must not be used, and
    `LogUnavailableError` if JetStream does not answer within 5 s.
    """
    try:
        async with asyncio.timeout(STREAM_SETUP_S_MAX):
            existing = await _create(js, spec.config(wall()))
    except TimeoutError as error:
        raise LogUnavailableError(
            f"JetStream did not answer within {STREAM_SETUP_S_MAX:g} s"
        ) from error
    except (NatsError, OSError) as error:
        raise LogUnavailableError(f"cannot create the stream {spec.name}: {error}") from error
    if existing is not None:
        check_stream(existing, spec)
    return existing is None


async def _create(js: JetStreamContext, wanted: StreamConfig) -> StreamConfig | None:
    """Create the stream; return None, or the configuration of the one that exists already."""
    attempts = 0
    while True:
        try:
            return (await js.stream_info(str(wanted.name))).config
        except NotFoundError:
            pass
        try:
            await js.add_stream(wanted)
        except APIError:
            # Another process may be creating it: then its `first_seq` is another time, or the
            # bytes that it reserves leave no room for ours until the server sees they are one.
            attempts += 1
            if attempts == _CREATE_ATTEMPTS_MAX:
                raise
            await asyncio.sleep(_CREATE_WAIT_S)
        else:
            return None


class _Demand(NamedTuple):
    field: str
    wanted: str
    met: bool


def check_stream(config: StreamConfig, spec: StreamSpec) -> None:
    """Raise `LogConfigurationError` naming every field of `config` that would break something."""
    broken = [
        f"{demand.field} is {getattr(config, demand.field)!r}, must be {demand.wanted}"
        for demand in (*_demands(config, spec), *_common_demands(config))
        if not demand.met
    ]
    if broken:
        raise LogConfigurationError(
            f"the stream {spec.name} exists but cannot be used: {'; '.join(broken)}."
            " Edit it, or delete it and start again"
        )


def _demands(config: StreamConfig, spec: StreamSpec) -> list[_Demand]:
    """Return what depends on `spec`."""
    subjects = list(spec.subjects)
    append_only = str(spec.append_only).lower()
    unlimited: tuple[Any, ...] = (None, -1, 0)
    age_s, size = config.max_age or 0, config.max_msg_size
    keeps = age_s in unlimited or age_s >= spec.age_s_min
    takes = size in unlimited or (size or 0) >= spec.message_bytes_min
    demands = [
        _Demand("subjects", str(subjects), set(config.subjects or ()) == set(subjects)),
        _Demand("deny_delete", append_only, bool(config.deny_delete) == spec.append_only),
        _Demand("retention", spec.retention, config.retention == spec.retention),
        _Demand("num_replicas", f">= {spec.replicas}", (config.num_replicas or 1) >= spec.replicas),
        _Demand("max_age", f"0 or >= {spec.age_s_min:g}", keeps),
        _Demand("max_msg_size", f"-1 or >= {spec.message_bytes_min}", takes),
    ]
    if spec.append_only:
        demands.append(_Demand("deny_purge", "true", bool(config.deny_purge)))
    if spec.begins_with_time:
        since_2001 = (config.first_seq or 0) >= FIRST_SEQ_MIN
        demands.append(_Demand("first_seq", "microseconds since 1970", since_2001))
    per_subject: Any = config.max_msgs_per_subject
    if spec.last_of_each_subject:
        demands.append(_Demand("max_msgs", "-1", config.max_msgs in unlimited))
    else:
        demands.append(_Demand("max_msgs_per_subject", "-1", per_subject in unlimited))
    return demands


def _common_demands(config: StreamConfig) -> list[_Demand]:
    """Return what every stream of ours needs."""
    persist_mode = config.persist_mode in (None, "default")
    return [
        _Demand("discard", "old", config.discard == DiscardPolicy.OLD),
        _Demand("storage", "file", config.storage == StorageType.FILE),
        _Demand("max_consumers", "-1", config.max_consumers in (None, -1, 0)),
        _Demand("allow_msg_ttl", "false", not config.allow_msg_ttl),
        _Demand("allow_rollup_hdrs", "false", not config.allow_rollup_hdrs),
        _Demand("sealed", "false", not config.sealed),
        _Demand("no_ack", "false", not config.no_ack),
        _Demand("mirror", "none", config.mirror is None),
        _Demand("sources", "none", not config.sources),
        _Demand("subject_transform", "none", config.subject_transform is None),
        _Demand("persist_mode", "default", persist_mode),
    ]

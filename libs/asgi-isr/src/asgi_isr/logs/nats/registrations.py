"""The registrations that a stream keeps: the last word of each instance (rule 11)."""

import asyncio
from datetime import datetime

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from asgi_isr.coherence.live_set import LEASE_S_MAX
from asgi_isr.errors import LogUnavailableError
from asgi_isr.nats.requests import NO_MESSAGE_FOUND, RefusedError, request
from asgi_isr.reports import INSTANCES_STREAM, INSTANCES_SUBJECT_PREFIX, Report

TIMEOUT_S = 2.0
AGE_S_MAX = LEASE_S_MAX + 60.0  # a registration is kept for longer than any lease
CLOCKS_S = 5.0  # by which the brokers of one cluster may disagree
BYTES_MAX = 16 * 1024 * 1024

_decoder = msgspec.json.Decoder(Report)


class _State(msgspec.Struct):
    subjects: dict[str, int] = {}


class _Info(msgspec.Struct):
    state: _State
    ts: datetime


class _Stored(msgspec.Struct):
    time: datetime
    data: bytes = b""


class _StoredReply(msgspec.Struct):
    message: _Stored


async def ensure_instances_stream(js: JetStreamContext, *, replicas: int = 1) -> None:
    """Create the stream of registrations unless it exists, whatever its bounds.

    Raises `LogUnavailableError` if JetStream does not answer.
    """
    wanted = StreamConfig(
        name=INSTANCES_STREAM,
        description="The last word of each instance of the page cache",
        subjects=[f"{INSTANCES_SUBJECT_PREFIX}.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        storage=StorageType.FILE,
        num_replicas=replicas,
        max_msgs_per_subject=1,
        max_age=AGE_S_MAX,
        max_bytes=BYTES_MAX,
    )
    try:
        async with asyncio.timeout(2 * TIMEOUT_S):
            try:
                await js.stream_info(INSTANCES_STREAM)
            except NotFoundError:
                await js.add_stream(wanted)
    except (NatsError, OSError, TimeoutError) as error:
        raise LogUnavailableError(
            f"cannot create the stream {INSTANCES_STREAM}: {error!r}"
        ) from error


async def load(client: Client, *, timeout_s: float) -> list[tuple[Report, float]]:
    """Return every registration that is kept, and its age in seconds by the broker's clock.

    Raises `LogUnavailableError` without the stream or its broker.
    """
    subject = f"$JS.API.STREAM.INFO.{INSTANCES_STREAM}"
    asked = msgspec.json.encode({"subjects_filter": f"{INSTANCES_SUBJECT_PREFIX}.>"})
    info = await request(client, subject, asked, _Info, timeout_s=timeout_s)
    subject = f"$JS.API.STREAM.MSG.GET.{INSTANCES_STREAM}"
    found = []
    for name in info.state.subjects:
        asked = msgspec.json.encode({"last_by_subj": name})
        try:
            stored = (
                await request(client, subject, asked, _StoredReply, timeout_s=timeout_s)
            ).message
        except RefusedError as error:
            if error.code == NO_MESSAGE_FOUND:  # it was too old meanwhile
                continue
            raise
        report = decoded(name, stored.data)
        if report is not None:
            age_s = (info.ts - stored.time).total_seconds() - CLOCKS_S
            found.append((report, max(0.0, age_s)))
    return found


def decoded(subject: str, body: bytes) -> Report | None:
    """Read a report; None where it is none, or not that of the instance it is published as."""
    try:
        report = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # The prefixes have three parts.
    return report if subject.split(".", 3)[-1] == report.instance else None

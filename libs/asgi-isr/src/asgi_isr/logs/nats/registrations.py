"""The registrations that a stream keeps: the last word of each instance (rule 11)."""

from datetime import datetime

import msgspec
from nats.aio.client import Client

from asgi_isr.nats.api import Api
from asgi_isr.nats.requests import NO_MESSAGE_FOUND, RefusedError, request
from asgi_isr.nats.stored import StoredReply
from asgi_isr.reports import (
    INSTANCES_STREAM,
    INSTANCES_SUBJECT_PREFIX,
    REPORT_BYTES_MAX,
    Report,
)

CLOCKS_S = 5.0  # by which the brokers of one cluster may disagree

_decoder = msgspec.json.Decoder(Report)


class _State(msgspec.Struct):
    subjects: dict[str, int] = {}


class _Info(msgspec.Struct):
    state: _State
    ts: datetime


async def load(client: Client, api: Api, *, timeout_s: float) -> list[tuple[Report, float]]:
    """Return every registration that is kept, and its age in seconds by the broker's clock.

    Raises `LogUnavailableError` without the stream or its broker.
    """
    subject = api.stream("INFO", INSTANCES_STREAM)
    asked = msgspec.json.encode({"subjects_filter": f"{INSTANCES_SUBJECT_PREFIX}.>"})
    info = await request(client, subject, asked, _Info, timeout_s=timeout_s)
    # Of the leader alone: what a replica that lags does not hold would be taken for nobody.
    subject = api.stream("MSG.GET", INSTANCES_STREAM)
    found = []
    for name in info.state.subjects:
        asked = msgspec.json.encode({"last_by_subj": name})
        try:
            stored = (
                await request(client, subject, asked, StoredReply, timeout_s=timeout_s)
            ).message
        except RefusedError as error:
            if error.code == NO_MESSAGE_FOUND:  # it was too old meanwhile
                continue
            raise
        report = decoded(name, stored.data)
        if report is not None:
            age_s = (info.ts - stored.stored_at).total_seconds() - CLOCKS_S
            found.append((report, max(0.0, age_s)))
    return found


def decoded(subject: str, body: bytes) -> Report | None:
    """Read a report; None where it is none, or not that of the instance it is published as."""
    if len(body) > REPORT_BYTES_MAX:
        return None
    try:
        report = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # The prefixes have three parts.
    return report if subject.split(".", 3)[-1] == report.instance else None

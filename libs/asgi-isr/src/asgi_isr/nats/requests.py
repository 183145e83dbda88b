"""Requests over NATS with one time limit and one family of errors."""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from asgi_isr.errors import LogUnavailableError
from asgi_isr.nats.cancellation import keeping_cancellation

__all__ = [
    "NO_MESSAGE_FOUND", "STREAM_NOT_FOUND", "PubAck", "RefusedError", "decode_reply", "request",
]  # fmt: skip

T = TypeVar("T")

# `err_code`s of JetStream.
STREAM_NOT_FOUND = 10059
NO_MESSAGE_FOUND = 10037


class PubAck(msgspec.Struct, frozen=True):
    """JetStream's answer to a published message: `stream` holds it at `seq`.

    `duplicate`: it held a message with this `Nats-Msg-Id` already, and stored nothing.
    """

    stream: str
    seq: int
    duplicate: bool = False


class _ApiError(msgspec.Struct, frozen=True):
    """Why JetStream refused: its `err_code` and words."""

    err_code: int = 0
    description: str = ""


class _ApiAnswer(msgspec.Struct, frozen=True):
    error: _ApiError | None = None


class RefusedError(LogUnavailableError):
    """JetStream answered a request with an error; `code` is its `err_code`."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


async def request(
    client: Client,
    subject: str,
    body: bytes,
    reply: type[T],
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
) -> T:
    """Send `body` to `subject` and return the JSON answer as a `reply`.

    To publish into a stream is a request whose answer is a `PubAck`. Raises `LogUnavailableError`
    when there are no responders, no answer within `timeout_s` or one that is no `reply`; its child
    `RefusedError` for an error of JetStream.
    """
    if not client.is_connected:
        # It would wait in the client's buffer, and might be sent long after its caller gave up.
        raise LogUnavailableError("not connected to NATS; reconnecting")
    try:
        # Two limits: nats-py may wait for its write buffer before its own begins.
        async with asyncio.timeout(timeout_s), keeping_cancellation():
            message = await client.request(
                subject, body, timeout=timeout_s, headers=dict(headers) if headers else None
            )
    except NoRespondersError as error:
        raise LogUnavailableError(f"no responders at {subject}") from error
    except TimeoutError as error:
        raise LogUnavailableError(f"no answer from {subject} within {timeout_s:g} s") from error
    except (NatsError, OSError) as error:
        raise LogUnavailableError(f"the request to {subject} failed: {error}") from error
    return decode_reply(message.data, reply, subject=subject)


def decode_reply(data: bytes, reply: type[T], *, subject: str) -> T:
    """Read an answer from `subject`.

    Raises `RefusedError` for an error of JetStream, and `LogUnavailableError` for an answer of
    another form.
    """
    try:
        refusal = msgspec.json.decode(data, type=_ApiAnswer).error
        if refusal is not None:
            raise RefusedError(f"{subject}: {refusal.description}", refusal.err_code)
        return msgspec.json.decode(data, type=reply)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise LogUnavailableError(f"{subject} gave an answer of another form: {error}") from error

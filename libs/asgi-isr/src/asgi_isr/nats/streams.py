"""Streams of JetStream: what they must be, their creation, the check of one that exists."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import msgspec
from nats.aio.client import Client
from nats.js import JetStreamContext

from asgi_isr.errors import LogUnavailableError
from asgi_isr.nats.ack_subject import NS
from asgi_isr.nats.api import Api
from asgi_isr.nats.configuration import UNLIMITED, Demand, LogConfigurationError, equal, flaws
from asgi_isr.nats.requests import STREAM_NOT_FOUND, RefusedError, request

__all__ = ["StreamSpec", "ensure_stream", "stream_flaws"]

STREAM_SETUP_S_MAX = 5.0
_UPDATE_S_MAX = 2.0
_CREATE_ATTEMPTS_MAX = 5
_CREATE_WAIT_S = 0.1
# Microseconds of 2001: a stream that begins below was not created with the time as `first_seq`.
FIRST_SEQ_MIN = 10**15
# Who runs the server may say where and how it is kept.
_FREE = frozenset({"name", "description", "placement", "compression", "metadata"})
# A stream that differs in one of these was made for something else: nothing of it is changed.
_NATURE = frozenset({"retention", "storage", "first_seq", "mirror", "sealed"})

_logger = logging.getLogger(__name__)


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as its users need it.

    Attributes:
        name: of the stream.
        subjects: all that it takes, and nothing else.
        description: for who looks at the server.
        retention: `workqueue` removes a message once it is acknowledged, `limits` by age and size.
        age_s_max: a message is removed when it is older; an existing stream may keep it longer.
        bytes_max: over it the oldest messages are removed; an existing stream may hold more.
        message_bytes_min: an existing stream must take messages of this size.
        last_of_each_subject: it keeps the last message of each subject and no other.
        duplicate_window_s: in which a `Nats-Msg-Id` is known again.
        append_only: nobody may delete messages or purge; else both must be allowed.
        begins_with_time: its first sequence is the time of its creation, in µs since 1970.
        republish_prefix: each message is sent on below it once it is stored; "" is nowhere.
        replicas: how many servers hold it, at least.

    """

    name: str
    subjects: tuple[str, ...]
    description: str = ""
    retention: Literal["limits", "workqueue"] = "limits"
    age_s_max: float
    bytes_max: int
    message_bytes_min: int = 0
    last_of_each_subject: bool = False
    duplicate_window_s: float = 120.0
    append_only: bool = False
    begins_with_time: bool = False
    republish_prefix: str = ""
    replicas: int = 1

    def config(self, now_s: float) -> dict[str, Any]:
        """Return how it is created at `now_s` (since 1970), as JetStream's API takes it."""
        config = {
            "name": self.name,
            "description": self.description,
            "subjects": list(self.subjects),
            "retention": self.retention,
            "discard": "old",
            "storage": "file",
            "num_replicas": self.replicas,
            "max_age": int(self.age_s_max * NS),
            "max_bytes": self.bytes_max,
            "max_msgs": -1,
            "max_consumers": -1,
            "max_msg_size": -1,
            "max_msgs_per_subject": 1 if self.last_of_each_subject else -1,
            "duplicate_window": self._window(),
            "deny_delete": self.append_only,
            "deny_purge": self.append_only,
        }
        if self.begins_with_time:
            config["first_seq"] = int(now_s * 1_000_000)
        if self.republish_prefix:
            config |= {"republish": self._republish(), "allow_direct": True}
        return config

    def demands(self) -> list[Demand]:
        """Return what one that exists must be."""
        demands = [
            Demand("subjects", str(list(self.subjects)), self._same_subjects),
            equal("retention", self.retention),
            equal("discard", "old"),
            equal("storage", "file"),
            _at_least("num_replicas", self.replicas, unlimited=()),
            _at_least("max_age", int(self.age_s_max * NS)),
            _at_least("max_bytes", self.bytes_max),
            _at_least("max_msg_size", self.message_bytes_min),
            equal("duplicate_window", self._window()),
            equal("deny_delete", self.append_only),
            equal("deny_purge", self.append_only),
        ]
        if self.last_of_each_subject:
            demands.append(equal("max_msgs_per_subject", 1))
        if self.begins_with_time:
            demands.append(Demand("first_seq", "microseconds since 1970", _since_2001))
        if self.republish_prefix:
            demands += [equal("republish", self._republish()), equal("allow_direct", value=True)]
        else:
            # Who may ask for messages may ask any replica; the server sets it by itself, too.
            demands.append(Demand("allow_direct", "anything", lambda _: True))
        return demands

    def _republish(self) -> dict[str, str]:
        return {"src": ">", "dest": f"{self.republish_prefix}.>"}

    def _window(self) -> int:
        return int(min(self.duplicate_window_s, self.age_s_max) * NS)

    def _same_subjects(self, found: Any) -> bool:
        return set(found or ()) == set(self.subjects)


class _StreamReply(msgspec.Struct, frozen=True):
    config: dict[str, Any]


async def ensure_stream(
    js: JetStreamContext, spec: StreamSpec, *, wall: Callable[[], float], create: bool = True
) -> bool:
    """Create the stream unless it exists, else repair it; return whether this call created it.

    Without `create` a missing one is a `LogUnavailableError`.

    Several processes may call it at once. Where a stream of this name exists, what is otherwise
    than `spec` says is set right, and told in the log. Raises `LogConfigurationError` where that
    is not possible or the stream was made for something else, and `LogUnavailableError` if
    JetStream does not answer within 5 s. `wall` gives seconds since 1970.
    """
    # nats-py's own types of streams drop the fields that they do not know.
    setup = _Setup(js._nc, Api(js._prefix), spec)  # noqa: SLF001  see above
    try:
        async with asyncio.timeout(STREAM_SETUP_S_MAX):
            existing = await (setup.create(spec.config(wall())) if create else setup.existing())
            if existing is not None:
                await setup.repair(existing)
    except TimeoutError as error:
        raise LogUnavailableError(
            f"JetStream did not answer within {STREAM_SETUP_S_MAX:g} s"
        ) from error
    return existing is None


def stream_flaws(config: Mapping[str, Any], spec: StreamSpec) -> dict[str, str]:
    """Return what is wrong in the configuration of a stream that exists, by field."""
    return flaws(config, spec.demands(), free=_FREE)


class _Setup:
    """The requests that make one stream what it must be."""

    def __init__(self, client: Client, api: Api, spec: StreamSpec) -> None:
        self._client = client
        self._api = api
        self._spec = spec

    async def existing(self) -> dict[str, Any]:
        """Return how it is configured."""
        return await self._ask("INFO")

    async def create(self, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """Create it; return None, or the configuration of the one that exists already."""
        attempts = 0
        while True:
            try:
                return await self.existing()
            except RefusedError as error:
                if error.code != STREAM_NOT_FOUND:
                    raise
            try:
                await self._ask("CREATE", wanted)
            except RefusedError as error:
                # Another process may be creating it: then its `first_seq` is another time, or the
                # bytes that it reserves leave no room for ours until the server sees they are one.
                attempts += 1
                if attempts == _CREATE_ATTEMPTS_MAX:
                    said = f"cannot create the stream {self._spec.name}: {error}"
                    raise LogUnavailableError(said) from error
                await asyncio.sleep(_CREATE_WAIT_S)
            else:
                return None

    async def repair(self, existing: dict[str, Any]) -> None:
        """Set right what is wrong, and only that; raise `LogConfigurationError`."""
        wrong = stream_flaws(existing, self._spec)
        if not wrong:
            return
        words, name = "; ".join(wrong.values()), self._spec.name
        refusal = "it was made for something else"
        if not _NATURE.intersection(wrong):
            refusal = await self._update(existing, wrong)
        if refusal:
            raise LogConfigurationError(
                f"the stream {name} exists but cannot be used: {words}. It was not repaired:"
                f" {refusal}. Edit it, or delete it and start again"
            )
        _logger.warning("the stream %s was repaired: %s", name, words)

    async def _update(self, existing: dict[str, Any], wrong: Collection[str]) -> str:
        """Update what is `wrong` alone; return why that did not succeed, or ""."""
        wanted = self._spec.config(0)
        kept = {*wanted, *_FREE}.difference(wrong).intersection(existing)
        wanted |= {field: existing[field] for field in kept}
        try:
            found = await self._ask("UPDATE", wanted, timeout_s=_UPDATE_S_MAX)
        except LogUnavailableError as error:  # perhaps it was not for us to ask
            return str(error)
        # What the server gives though nobody asked for it is its default.
        left = stream_flaws(found, self._spec).keys() & wanted.keys()
        return f"the server left {', '.join(sorted(left))}" if left else ""

    async def _ask(
        self,
        verb: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = STREAM_SETUP_S_MAX,
    ) -> dict[str, Any]:
        reply = await request(
            self._client,
            self._api.stream(verb, self._spec.name),
            b"" if body is None else msgspec.json.encode(body),
            _StreamReply,
            timeout_s=timeout_s,
        )
        return reply.config


def _at_least(field: str, least: int, *, unlimited: tuple[Any, ...] = UNLIMITED) -> Demand:
    words = f">= {least}" if not unlimited else f"-1, 0 or >= {least}"
    return Demand(field, words, lambda found: found in unlimited or (found or 0) >= least)


def _since_2001(found: Any) -> bool:
    return (found or 0) >= FIRST_SEQ_MIN

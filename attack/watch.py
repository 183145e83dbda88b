"""What must not change: streams and consumers, and what each rightful user hears."""

import asyncio
from collections import Counter
from typing import Any, TypeVar

import msgspec
from asgi_isr.events import LOG_SUBJECT_PREFIX, MARK_REQUEST_SUBJECT, STREAM
from asgi_isr.logs.nats.messages import republished
from asgi_isr.nats import RefusedError, decode_reply
from asgi_isr.ports import LogMessage
from asgi_isr.reports import (
    INSTANCES_SUBJECT_PREFIX,
    POPULAR_SUBJECT_PREFIX,
    POSITIONS_SUBJECT_PREFIX,
)
from nats.aio.client import Client
from nats.aio.msg import Msg

from attack.system import API, BFF, CREDENTIALS, REVALIDATOR, System

__all__ = ["LOG_READERS", "State", "Watch", "changed"]

State = dict[str, object]
T = TypeVar("T")
LOG_READERS = (BFF, REVALIDATOR)
# What each service listens to, beside its inboxes.
HEARD = {
    API: (MARK_REQUEST_SUBJECT, INSTANCES_SUBJECT_PREFIX, POSITIONS_SUBJECT_PREFIX),
    REVALIDATOR: (INSTANCES_SUBJECT_PREFIX, POSITIONS_SUBJECT_PREFIX, POPULAR_SUBJECT_PREFIX),
}
_REQUEST_S = 20.0
_SAME_MAX = 50
_SETTLE_S = 0.05


class _Streams(msgspec.Struct):
    streams: list[dict[str, Any]] | None = None


class _Consumers(msgspec.Struct):
    consumers: list[dict[str, Any]] | None = None


class Watch:
    """Looks at a system with the eyes of those to whom it belongs."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._heard: Counter[str] = Counter()
        self._said: list[tuple[str, LogMessage]] = []
        self._forged: dict[str, list[LogMessage]] = {user: [] for user in LOG_READERS}
        self._genuine: dict[int, LogMessage] = {}

    async def open(self) -> None:
        """Begin to listen."""
        for user, prefixes in HEARD.items():
            for prefix in prefixes:
                pattern = prefix if prefix == MARK_REQUEST_SUBJECT else f"{prefix}.>"
                await self._listen(user, pattern, f"{user} hears {prefix}")
        for user in CREDENTIALS:
            await self._listen(user, f"_INBOX_{user}.victim", f"{user} hears its inbox")
        for user in LOG_READERS:
            await self._follow(user)
        for client in self._system.victims.values():
            await client.flush()

    async def state(self) -> State:
        """Return everything that an attack must leave as it is, by name."""
        for client in self._system.victims.values():
            await client.flush()
        await self._judge()
        found: State = {f"heard: {name}": count for name, count in self._heard.items()}
        for user, messages in self._forged.items():
            found[f"{user} takes for a message of the log"] = tuple(messages)
        for account, client in self._system.owners.items():
            found |= await _kept(account, client)
        return found

    async def settled(self) -> State:
        """Return the state once nothing moves any more."""
        before = await self.state()
        for _ in range(_SAME_MAX):
            await asyncio.sleep(_SETTLE_S)
            after = await self.state()
            if after == before:
                break
            before = after
        return before

    async def _listen(self, user: str, pattern: str, name: str) -> None:
        self._heard[name] = 0

        async def count(_: Msg) -> None:
            self._heard[name] += 1

        await self._system.victims[user].subscribe(pattern, cb=count)

    async def _follow(self, user: str) -> None:
        async def take(message: Msg) -> None:
            found = republished(message.headers, message.data)
            if found is not None:
                self._said.append((user, found))

        await self._system.victims[user].subscribe(f"{LOG_SUBJECT_PREFIX}.>", cb=take)

    async def _judge(self) -> None:
        """Compare what readers would take for a message of the log with the log."""
        said, self._said = self._said, []
        for user, message in said:
            if self._genuine.get(message.seq) != message:
                held = await self._held(message.seq)
                if held is not None:
                    self._genuine[message.seq] = held
                if held != message:
                    self._forged[user].append(message)

    async def _held(self, seq: int) -> LogMessage | None:
        subject = f"$JS.API.DIRECT.GET.{STREAM}"
        client = self._system.owners["LOG"]
        answer = await client.request(subject, b'{"seq":%d}' % seq, timeout=_REQUEST_S)
        return republished(answer.headers, answer.data)


def changed(before: State, after: State) -> set[str]:
    """Return the names of what is different."""
    return {name for name in before | after if before.get(name) != after.get(name)}


async def _kept(account: str, client: Client) -> State:
    """Return what JetStream keeps for an account; nothing where it has none."""
    try:
        streams = (await _ask(client, "STREAM.LIST", _Streams)).streams or []
    except RefusedError:  # it has no JetStream
        return {}
    found: State = {f"{account}: streams": sorted(each["config"]["name"] for each in streams)}
    for stream in streams:
        name = stream["config"]["name"]
        found[f"{name}: configuration"] = stream["config"]
        state = stream["state"]
        found[f"{name}: messages"] = (state["messages"], state["first_seq"], state["last_seq"])
        consumers = (await _ask(client, f"CONSUMER.LIST.{name}", _Consumers)).consumers or []
        found[f"{name}: consumers"] = sorted(each["name"] for each in consumers)
        for consumer in consumers:
            place = f"{name}/{consumer['name']}"
            found[f"{place}: configuration"] = consumer["config"]
            found[f"{place}: paused"] = consumer.get("paused", False)
            found[f"{place}: acknowledged"] = (
                consumer["ack_floor"]["stream_seq"],
                consumer["delivered"]["stream_seq"],
                consumer["num_ack_pending"],
            )
        subjects = await _by_subject(client, name)
        found |= {f"{name}: of {subject}": count for subject, count in subjects.items()}
    return found


async def _by_subject(client: Client, stream: str) -> dict[str, int]:
    body = b'{"subjects_filter":">"}'
    answer = await client.request(f"$JS.API.STREAM.INFO.{stream}", body, timeout=_REQUEST_S)
    return dict(msgspec.json.decode(answer.data)["state"].get("subjects") or {})


async def _ask(client: Client, verb: str, reply: type[T]) -> T:
    subject = f"$JS.API.{verb}"
    answer = await client.request(subject, b"", timeout=_REQUEST_S)
    return decode_reply(answer.data, reply, subject=subject)

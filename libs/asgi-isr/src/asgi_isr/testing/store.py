"""`FaultyStore`: any store, failing as servers and networks do."""

import asyncio
import random
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from asgi_isr.errors import StoreUnavailableError
from asgi_isr.ports import Store

T = TypeVar("T")

CALLS = ("get", "put", "lock", "unlock", "close")
KEYS_MAX = 10_000  # whose value before the last one is remembered


class Fault(Enum):
    """What can go wrong with a call of a store."""

    FAIL = "fail"  # raises; the store hears nothing of it
    ANSWER_LOST = "answer lost"  # done, then raises
    DELAY = "delay"  # done after `delay_s` seconds
    FREEZE = "freeze"  # waits, done once healed
    LOSE = "lose"  # acknowledged and not done; of `get`: None
    CORRUPT = "corrupt"  # `get` returns half of the bytes
    OLDER = "older"  # `get` returns what stood there before the last `put`


@dataclass(kw_only=True)
class _Injected:
    fault: Fault
    calls: frozenset[str]
    rate: float
    left: int | None
    delay_s: float
    error: Exception


class FaultyStore:
    """Passes every call on to `store`, but for the faults that a test has injected.

    `asked` counts the calls by their name, `failed` the faults that were met. Rates are drawn from
    `rng`; seed it, and the same calls meet the same faults.
    """

    def __init__(self, store: Store, *, rng: random.Random | None = None) -> None:
        self.asked: Counter[str] = Counter()
        self.failed: Counter[Fault] = Counter()
        self._store = store
        self._rng = rng or random.Random(0)  # noqa: S311  faults of a test, no secret
        self._injected: list[_Injected] = []
        self._healed = asyncio.Event()
        self._values: OrderedDict[str, tuple[bytes | None, bytes]] = OrderedDict()

    def inject(
        self,
        fault: Fault,
        *,
        on: Iterable[str] = CALLS[:-1],
        rate: float = 1.0,
        calls_max: int | None = None,
        delay_s: float = 0.0,
        error: Exception | None = None,
    ) -> None:
        """Let `fault` befall calls named in `on` with probability `rate`, until `heal`.

        After `calls_max` calls it heals by itself (1: the first call alone). `delay_s` is the delay
        in seconds, `error` what is raised instead of `StoreUnavailableError`. Where several faults
        fit a call, the first one injected counts. Raises `ValueError` for a call that a store does
        not have, and for `CORRUPT` and `OLDER` on other calls than `get`.
        """
        calls = frozenset({"get"} if fault in {Fault.CORRUPT, Fault.OLDER} else on)
        if unknown := calls - set(CALLS):
            raise ValueError(f"on: {sorted(unknown)} is not one of {', '.join(CALLS)}")
        failure = error or StoreUnavailableError(f"injected: {fault.value}")
        self._injected.append(
            _Injected(
                fault=fault, calls=calls, rate=rate, left=calls_max, delay_s=delay_s, error=failure
            )
        )

    def heal(self) -> None:
        """End every fault; frozen calls go on."""
        self._injected.clear()
        self._healed.set()
        self._healed = asyncio.Event()

    async def get(self, key: str) -> bytes | None:
        """Return the value at `key`, another one, or None."""
        injected = self._next("get")
        if injected is not None and injected.fault is Fault.LOSE:
            return None
        value = await self._call(injected, lambda: self._store.get(key))
        if injected is None or value is None:
            return value
        if injected.fault is Fault.CORRUPT:
            return value[: len(value) // 2]
        if injected.fault is Fault.OLDER:
            return self._values.get(key, (None, b""))[0]
        return value

    async def put(self, key: str, value: bytes, *, fence: int, ttl_s: float) -> bool:
        """Keep `value`, or say so."""
        injected = self._next("put")
        if injected is not None and injected.fault is Fault.LOSE:
            return True
        kept = await self._call(
            injected, lambda: self._store.put(key, value, fence=fence, ttl_s=ttl_s)
        )
        if kept:
            before = self._values.pop(key, None)
            self._values[key] = (before[1] if before else None, value)
            if len(self._values) > KEYS_MAX:
                self._values.popitem(last=False)
        return kept

    async def lock(self, key: str, owner: str, *, ttl_s: float) -> bool:
        """Take the lock at `key`, or say so."""
        injected = self._next("lock")
        if injected is not None and injected.fault is Fault.LOSE:
            return True
        return await self._call(injected, lambda: self._store.lock(key, owner, ttl_s=ttl_s))

    async def unlock(self, key: str, owner: str) -> None:
        """Give the lock back, or say so."""
        injected = self._next("unlock")
        if injected is None or injected.fault is not Fault.LOSE:
            await self._call(injected, lambda: self._store.unlock(key, owner))

    async def close(self) -> None:
        """Close the store; with `LOSE` it stays open, as a server that others use."""
        injected = self._next("close")
        if injected is None or injected.fault is not Fault.LOSE:
            await self._call(injected, self._store.close)

    def _next(self, call: str) -> _Injected | None:
        """Return the fault that befalls this call."""
        self.asked[call] += 1
        for injected in self._injected:
            if call in injected.calls and self._rng.random() < injected.rate:
                if injected.left is not None:
                    injected.left -= 1
                    if not injected.left:
                        self._injected.remove(injected)
                self.failed[injected.fault] += 1
                return injected
        return None

    async def _call(self, injected: _Injected | None, call: Callable[[], Awaitable[T]]) -> T:
        if injected is None:
            return await call()
        if injected.fault is Fault.FAIL:
            raise injected.error
        if injected.fault is Fault.DELAY:
            await asyncio.sleep(injected.delay_s)
        elif injected.fault is Fault.FREEZE:
            await self._healed.wait()
        answer = await call()
        if injected.fault is Fault.ANSWER_LOST:
            raise injected.error
        return answer

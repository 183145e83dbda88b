"""The semantics of HTTP as tables of cases: what is answered from the cache, and with what."""

import asyncio
from functools import partial
from typing import Any

import pytest
from asgi_isr import CacheMiddleware
from asgi_isr.testing import FakeClock, Reply, eventually, request
from asgi_isr.types import Receive, Scope, Send

from .semantic_case import START, Case, Says, Step
from .semantic_freshness import FRESHNESS
from .semantic_selecting import SELECTING
from .semantic_staleness import STALENESS
from .semantic_storing import STORING
from .semantic_unsafe import UNSAFE
from .semantic_validating import VALIDATING

CASES = [*STORING, *FRESHNESS, *STALENESS, *SELECTING, *VALIDATING, *UNSAFE]


def _pairs(lines: tuple[str, ...]) -> list[tuple[str, str]]:
    found = (line.partition(":") for line in lines)
    return [(name.strip().lower(), value.strip()) for name, _, value in found]


def _values(fields: list[tuple[str, str]], name: str) -> str | None:
    """Return the value of a field, its lines joined; None where it is absent."""
    values = [value for field, value in fields if field == name]
    return ", ".join(values) if values else None


class ScriptedApp:
    """Answers every request with what the script has it say now; `seen` is what it was asked."""

    def __init__(self, clock: FakeClock) -> None:
        self.answer = Says()
        self.seen: list[list[tuple[str, str]]] = []
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        asked = any(name.startswith(b"if-") for name, _ in scope["headers"])
        answer = self.answer if asked else self.answer.unasked or self.answer
        self.seen.append([(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]])
        await receive()
        self._clock.advance(answer.takes_s)
        if answer.fails:
            raise ConnectionError("the app's database is away")
        fields = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in _pairs(answer.lines)]
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        await send({"type": "http.response.body", "body": answer.body.encode()})


def _is_done(instance: CacheMiddleware) -> bool:
    return not instance.cache.session.renders._flying


def _check_answer(step: Step, reply: Reply) -> None:
    fields = list(reply.fields)
    parts = reply.cache_status.split("; ")
    assert reply.status == step.status
    assert ("hit" in parts) == (step.by == "cache"), reply.cache_status
    assert ("fwd-status=304" in parts) == (step.by == "confirmed"), reply.cache_status
    if step.body is not None:
        assert reply.body == step.body.encode()
    for name, value in _pairs(step.has):
        assert _values(fields, name) == value, name
    for name in step.lacks:
        assert _values(fields, name) is None, name
    assert set(step.parts) <= set(parts), reply.cache_status
    assert set(step.lacks_parts).isdisjoint(parts), reply.cache_status


def _check_app(step: Step, seen: list[list[tuple[str, str]]]) -> None:
    expected = step.runs if step.runs is not None else int(step.by in {"app", "confirmed"})
    assert len(seen) == expected, "runs of the app"
    for name, value in _pairs(step.seen):
        assert _values(seen[0], name) == value, f"the app saw {name}"
    for name in step.unseen:
        assert _values(seen[0], name) is None, f"the app saw {name}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_case(site: Any, case: Case) -> None:
    """Each step of the case is answered by whom and with what the section says."""
    assert site.clock.wall() == START
    app = ScriptedApp(site.clock)
    site.app = app
    # The lease is another matter: here it lasts for as long as the clock of a case goes.
    instances = [
        await site.instance(**{"lease_s": 1e9, **case.settings})
        for _ in range(1 + max(step.at for step in case.steps))
    ]
    for number, step in enumerate(case.steps):
        site.clock.advance(step.after_s)
        app.answer = step.says or app.answer
        for mode, names in (("hard", step.hard), ("soft", step.soft)):
            if names:
                await site.publish(*names, mode=mode)
        app.seen.clear()
        instance = instances[step.at]
        method, _, target = step.ask.partition(" ")
        path, _, query = target.partition("?")
        try:
            async with asyncio.timeout(5):
                reply = await request(
                    instance, path, method=method, query=query, headers=_pairs(step.fields)
                )
            await eventually(partial(_is_done, instance))
            await site.quiet()
            _check_answer(step, reply)
            _check_app(step, app.seen)
        except AssertionError as error:
            error.add_note(f"{case.source}, step {number + 1}: {step.ask} {step.fields}")
            raise


def test_cases_are_told_apart() -> None:
    """Each case has an id of its own, and names its source."""
    assert len({case.id for case in CASES}) == len(CASES)
    assert all(case.source.startswith("RFC") or case.source == "http.md" for case in CASES)

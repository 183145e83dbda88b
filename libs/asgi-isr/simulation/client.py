"""A client: sends one request, and judges the answer at the moment in which it goes out."""

import asyncio
import re

from asgi_isr.types import Message

from simulation.application import OutcryError
from simulation.asking import UNSAFE, Asking
from simulation.instance import Instance
from simulation.known import Versions, needed, older
from simulation.pages import (
    ANY,
    NOBODY,
    POLICY,
    Content,
    Page,
    Vector,
    body,
    content_of,
    is_asked,
    is_public,
)
from simulation.profile import ANSWER_S_MAX
from simulation.world import World

_SIGNS = (b"stale-while-revalidate", b"stale-if-error", b"overtaken", b"other-origin", b"no-lease")


def kind_of(status: bytes, cache_control: bytes) -> str:
    """Name an answer by what it says of itself in `Cache-Status` and `Cache-Control`."""
    for sign in _SIGNS:
        if b"detail=" + sign in status:
            return sign.decode()
    if b"fwd=bypass" in status:
        return "bypass"
    if cache_control == b"no-store":
        return "no-store"
    if b"collapsed" in status:
        return "collapsed"
    if b"hit;" not in status:
        return "stored"
    return "shared" if b"detail=shared" in status else "hit"


FRESH = frozenset({"hit", "shared", "stored", "collapsed"})
STALE = frozenset({"stale-while-revalidate", "stale-if-error"})


PAGE_STATUS = frozenset({200, 206, 304})
_RANGE = re.compile(rb"bytes (\d+)-(\d+)/\d+")


class Exchange:
    """One request and its answer. `fresh` is whether it was answered as fresh."""

    def __init__(
        self, world: World, instance: Instance, page: Page, asking: Asking | None = None
    ) -> None:
        self.fresh = False
        self.kind = ""
        self.status = 0
        self.etag = b""
        self._world = world
        self._instance = instance
        self._page = page
        self._asking = asking or Asking()
        self._arrived: Versions = dict(instance.known.any)
        self._changed = instance.known.own.get(page.path)
        self._made: Versions = dict(instance.known.made_any)
        self._one_database = world.writers.one_database
        self._data = needed(page, world.writers.versions)
        self._range = b""
        self._heard = False

    async def run(self, *, patience_s: float = ANSWER_S_MAX) -> None:
        """Send it; returns when it was answered, or when patience ended."""
        world, path, asking = self._world, self._page.path, self._asking
        who = f" of {asking.user}" if asking.user != NOBODY else ""
        world.note(self._instance.name, path, f"{asking.method} {asking.value}{who}")
        limit = asyncio.timeout(patience_s)
        try:
            async with limit:
                await self._instance.serves()
                await self._instance.asgi(asking.scope(self._page), self._receive, self._send)
        except TimeoutError:
            if not limit.expired():
                raise
            self._end("client gone")
            if patience_s >= ANSWER_S_MAX:
                world.violated("answered", path, f"no answer within {ANSWER_S_MAX} s")
        except (OSError, OutcryError):
            self._end("error")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._end("error")  # the app's own

    def _end(self, kind: str) -> None:
        self._world.tally[f"answer: {kind}"] += 1
        self._world.note(self._instance.name, self._page.path, kind)

    async def _receive(self) -> Message:
        if self._heard:
            await asyncio.Event().wait()  # a client that stays
        self._heard = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        if self._instance.gone:
            if message["type"] == "http.response.start":
                self._world.tally["answer: instance gone"] += 1
        elif message["type"] == "http.response.start":
            self._begin(message)
        elif self.kind and not message.get("more_body"):
            self._compare(message["body"])

    def _begin(self, message: Message) -> None:
        self.status = message["status"]
        fields = dict(message["headers"])
        status = fields.get(b"cache-status", b"")
        self.etag = fields.get(b"etag", b"")
        self._range = fields.get(b"content-range", b"")
        if self.status not in PAGE_STATUS:
            self._end(str(self.status))
            return
        self.kind = kind_of(status, fields.get(b"cache-control", b""))
        self._world.tally[f"answer: {self.kind}"] += 1
        if self.status != 200 or self._asking.method != "GET":
            self._world.tally[f"answer: {self._asking.method} {self.status}"] += 1
        said = f"{self.status} {self.etag.decode()} [{status.decode()}]"
        self._world.note(self._instance.name, self._page.path, said)
        self._world.etags[self._page.path] = self.etag
        content = content_of(self.etag)
        # Nothing is promised of what the app of a database that was forsaken says, as it says it.
        if b"fwd=" not in status or self._of_one_database():
            self._judge_age(content.vector, status)
        self._judge_kind(content, fields.get(POLICY, b""))

    def _judge_age(self, vector: Vector, status: bytes) -> None:
        """Compare with what the instance knows now, or knew when the request arrived."""
        page, known = self._page, self._instance.known
        self.fresh = self.kind in FRESH
        changed = known.own.get(page.path)
        if self.fresh:
            overdue = self._world.announced.overdue(self._world.loop.time())
            applied = self._world.observer.versions
            yardsticks = {"seen": known.any, "lease": overdue, "everywhere": applied}
            made = known.made_any
        elif self.kind in STALE:
            yardsticks = {"stale": known.hard}
            made = known.made_hard
        else:
            yardsticks = {"arrived": self._arrived}
            changed, made = self._changed, self._made
        for invariant, versions in yardsticks.items():
            self._require(invariant, vector, needed(page, versions), status)
        self._require("made", vector, needed(page, made), status)
        if changed is not None:
            self._require("unsafe", vector, changed, status)
        if self._asking.written is not None:
            write = self._world.writers.committed[self._asking.written]
            unknown = b"detail=read-your-writes" in status
            self._world.tally["answer: write unknown" if unknown else "answer: write known"] += 1
            self._require("written", vector, needed(page, write.versions), status)

    def _judge_kind(self, content: Content, policy: bytes) -> None:
        """Judge: the page is of what was asked for, for the one who asked, and asked for again."""
        asking = self._asking
        if content.value not in {ANY, asking.value}:
            self._violated("variant", f"{asking.value} got {content.value}")
        expected = NOBODY if is_public(policy) else asking.user
        if content.user != expected:
            self._violated("personal", f"{asking.user} got that of {content.user} [{policy!r}]")
        if is_asked(policy) and self._of_one_database():
            self._world.tally["answer: asked"] += 1
            self._require("asked", content.vector, self._data, policy)
        if self.status == 304 and asking.if_none_match != self.etag:
            self._violated("whole", f"304 names {self.etag!r}, asked was {asking.if_none_match!r}")

    def _of_one_database(self) -> bool:
        """Say whether one database alone has served since the request arrived."""
        one = self._world.writers.one_database
        return one is not None and one == self._one_database

    def _require(self, invariant: str, vector: Vector, least: Vector, why: bytes) -> None:
        if older(vector, least):
            what = f"{self.kind} from {self._instance.name} has {vector}, needs {least}"
            self._violated(invariant, f"{what} [{why.decode()}]")

    def _violated(self, invariant: str, what: str) -> None:
        self._world.violated(invariant, self._page.path, what)

    def _compare(self, text: bytes) -> None:
        """Judge: body and validator of an answer belong together."""
        whole = body(self._page, content_of(self.etag))
        if self._asking.method == "HEAD" or self.status == 304:
            wanted = b""
        elif self.status == 206:
            found = _RANGE.fullmatch(self._range)
            wanted = whole[int(found[1]) : int(found[2]) + 1] if found else b"no range is named"
        else:
            wanted = whole
        if text != wanted:
            self._violated("whole", f"{self.status} ETag {self.etag!r} with body {text!r}")


class Unsafe(Exchange):
    """An unsafe request; the client of a success asks for the page through the same instance."""

    async def run(self, *, patience_s: float = ANSWER_S_MAX) -> None:
        """Send it; returns when the client has its answers."""
        await super().run(patience_s=patience_s)
        if 200 <= self.status < 400 and not self._instance.gone:
            asking = self._asking._replace(method="GET")
            await Exchange(self._world, self._instance, self._page, asking).run()

    def _begin(self, message: Message) -> None:
        self.status = message["status"]
        done = 200 <= self.status < 400
        self._end("changed" if done else "not changed")
        if done:
            vector = content_of(dict(message["headers"])[b"etag"]).vector
            self._instance.known.changed(self._page, vector)


def exchange_of(world: World, instance: Instance, page: Page, asking: Asking) -> Exchange:
    """Return the exchange of this request."""
    kind = Unsafe if asking.method in UNSAFE else Exchange
    return kind(world, instance, page, asking)

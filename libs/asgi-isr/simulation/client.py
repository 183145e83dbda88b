"""A client: sends one request, and judges the answer at the moment in which it goes out."""

import asyncio

from asgi_isr.capture import Message, Scope

from simulation.application import OutcryError
from simulation.instance import Instance
from simulation.known import Versions, needed, older
from simulation.pages import HOST, Page, body, vector_of
from simulation.profile import ANSWER_S_MAX
from simulation.world import World


def kind_of(status: bytes, cache_control: bytes) -> str:
    """Name an answer by what it says of itself in `Cache-Status` and `Cache-Control`."""
    for sign in (b"stale-while-revalidate", b"stale-if-error", b"overtaken", b"no-lease"):
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


class Exchange:
    """One request and its answer. `fresh` is whether it was answered as fresh."""

    def __init__(self, world: World, instance: Instance, page: Page) -> None:
        self.fresh = False
        self.kind = ""
        self.status = 0
        self.etag = b""
        self._world = world
        self._instance = instance
        self._page = page
        self._arrived: Versions = dict(instance.known.any)
        self._asked = False

    async def run(self, *, patience_s: float = ANSWER_S_MAX, if_none_match: bytes = b"") -> None:
        """Send it; returns when it was answered, or when patience ended."""
        world, path = self._world, self._page.path
        headers = [(b"host", HOST)]
        if if_none_match:
            headers.append((b"if-none-match", if_none_match))
        scope: Scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "headers": headers, "client": None, "server": None,
        }  # fmt: skip
        world.note(self._instance.name, path, "request")
        limit = asyncio.timeout(patience_s)
        try:
            async with limit:
                await self._instance.asgi(scope, self._receive, self._send)
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
        if self._asked:
            await asyncio.Event().wait()  # a client that stays
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        if self._instance.gone:
            if message["type"] == "http.response.start":
                self._world.tally["answer: instance gone"] += 1
        elif message["type"] == "http.response.start":
            self._begin(message)
        elif self.status == 200 and not message.get("more_body") and self.etag:
            self._compare(message["body"])

    def _begin(self, message: Message) -> None:
        self.status = message["status"]
        fields = dict(message["headers"])
        status = fields.get(b"cache-status", b"")
        kind = kind_of(status, fields.get(b"cache-control", b""))
        self.etag = fields.get(b"etag", b"")
        if self.status not in {200, 304}:
            self._end(str(self.status))
            return
        self.kind = kind
        if self.status == 304:
            self._world.tally["answer: 304"] += 1
        self._world.tally[f"answer: {kind}"] += 1
        said = f"{self.status} {self.etag.decode()} [{status.decode()}]"
        self._world.note(self._instance.name, self._page.path, said)
        self._judge(kind, status)

    def _judge(self, kind: str, status: bytes) -> None:
        """Compare with what the instance knows now, or knew when the request arrived."""
        world, page, known = self._world, self._page, self._instance.known
        vector = vector_of(self.etag)
        world.etags[page.path] = self.etag
        self.fresh = kind in FRESH
        if self.fresh:
            yardsticks = {"seen": known.any, "lease": world.announced.overdue(world.loop.time())}
        elif kind in STALE:
            yardsticks = {"stale": known.hard}
        else:
            yardsticks = {"arrived": self._arrived}
        for invariant, versions in yardsticks.items():
            least = needed(page, versions)
            if older(vector, least):
                what = f"{kind} from {self._instance.name} has {vector}, needs {least}"
                world.violated(invariant, page.path, f"{what} [{status.decode()}]")

    def _compare(self, text: bytes) -> None:
        """Judge: body and validator of an answer belong together."""
        vector = vector_of(self.etag)
        if not text.endswith(body(self._page, vector)[len(self._page.path) :]):
            self._world.violated("whole", self._page.path, f"ETag {vector} with body {text!r}")

"""One render of a key in this process, which requests for that key join."""

import asyncio

from asgi_isr.rendering.outcomes import Result


class Flight:
    """A render under way; requests for the same key wait for `done` instead of rendering too.

    `ended` comes later than `done` where the response streams to the client that asked first; it
    gives what the app raised, or why it was cut off. Nobody joins one that is `alone`.
    """

    __slots__ = ("alone", "done", "ended", "key", "locked", "owner", "task")

    def __init__(self, key: str, *, owner: str, alone: bool = False) -> None:
        self.key = key
        self.alone = alone
        self.owner = owner  # of the fleet's render lock
        self.locked = False  # whether the lock is ours, or may be
        self.task: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Result] = loop.create_future()
        self.ended: asyncio.Future[BaseException | None] = loop.create_future()

    def land(self, result: Result) -> None:
        """Tell those who wait, if nobody did yet."""
        if not self.done.done():
            self.done.set_result(result)

    def end(self, error: BaseException | None) -> None:
        """Tell the client that asked first that the app has ended."""
        if not self.ended.done():
            self.ended.set_result(error)

    async def watch(self) -> None:
        """Wait until the app has answered the client of this request; raise what it raises."""
        try:
            error = await asyncio.shield(self.ended)
        except asyncio.CancelledError:
            if self.task is not None:
                self.task.cancel()  # nobody reads what still comes
            raise
        if error is not None:
            raise error

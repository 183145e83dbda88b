import asyncio

import pytest
from asgi_isr.errors import LogUnavailableError
from asgi_isr.logs.nats import Instances


class Breaking(Instances):
    """An observer whose connection breaks just when its first session is cancelled."""

    def __init__(self) -> None:
        super().__init__("nats://127.0.0.1:1", name="test")
        self.begun = asyncio.Event()
        self.sessions = 0

    async def _session(self) -> None:
        self.sessions += 1
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.sessions > 1:
                raise
            raise LogUnavailableError("the connection broke") from None


async def test_the_observer_ends_when_cancelled_while_its_connection_breaks() -> None:
    """An error that takes the place of the cancellation does not keep a process from stopping."""
    observer = Breaking()
    task = asyncio.ensure_future(observer.run())
    await observer.begun.wait()
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert observer.sessions == 1

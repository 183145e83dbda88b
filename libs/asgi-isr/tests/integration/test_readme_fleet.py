"""The first example of the README, over a real NATS and a real Valkey."""

import importlib.util
import re
from pathlib import Path

from asgi_isr import CacheMiddleware
from asgi_isr.errors import LogUnavailableError
from asgi_isr.testing import RecordingApp, eventually, ready, request
from nats.js import JetStreamContext
from perfcheck_embedded import Servers

README = Path(__file__).parents[2] / "README.md"


async def test_cache_of_the_readme_serves_and_forgets(
    steady_servers: Servers, js: JetStreamContext, tmp_path: Path
) -> None:
    """It creates the stream, serves a page twice, and renders it again after an event."""
    del js  # the stream is gone, as where nobody has used it
    example, *_ = re.findall(
        r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL
    )
    for address, real in (
        ("nats://127.0.0.1:4222", steady_servers.nats_url),
        ("redis://127.0.0.1:6379/0", steady_servers.valkey_url),
    ):
        assert address in example
        example = example.replace(address, real)
    path = tmp_path / "fleet_example.py"
    path.write_text(example)
    spec = importlib.util.spec_from_file_location("fleet_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with module.cache as cache:
        await ready(cache)
        app = CacheMiddleware(RecordingApp(), cache)
        await request(app, "/readme/page")
        assert "; hit" in (await request(app, "/readme/page")).cache_status
        position = await eventually(  # a busy machine may miss the second that it has
            lambda: cache.invalidate(paths=("/readme/*",)),
            timeout_s=30,
            ignoring=(LogUnavailableError,),
        )
        assert await cache.applied(position, timeout_s=10)
        assert "stored" in (await request(app, "/readme/page")).cache_status

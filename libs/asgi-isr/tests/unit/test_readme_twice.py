"""Each app of the README, opened by two test clients one after another: two event loops."""

import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import litestar.testing
import pytest
from asgi_isr import CacheMiddleware
from asgi_isr.testing import eventually_sync

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own dependencies, which are not ours to fix
    from starlette.testclient import TestClient as StarletteClient

README = (Path(__file__).parents[2] / "README.md").read_text()
APPS = {
    framework: example
    for example in re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    if "\napp = " in example
    for framework in ["litestar" if "litestar" in example else
                      "starlette" if "starlette" in example else "asgi"]
}  # fmt: skip
CLIENTS: dict[str, Callable[[Any], Any]] = {
    "starlette": StarletteClient,
    "litestar": lambda app: litestar.testing.TestClient(app=app),
}


@pytest.fixture(params=APPS)
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CacheMiddleware]:
    """Import the example as a user would: the middleware is made at the top of its module."""
    path = tmp_path / "example.py"
    path.write_text(APPS[request.param])
    spec = importlib.util.spec_from_file_location("example", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["example"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.app
    del sys.modules["example"]


@pytest.mark.parametrize("kind", CLIENTS)
def test_example_serves_one_client_after_another(app: CacheMiddleware, kind: str) -> None:
    """Each time it starts, renders, keeps the page, and ends."""
    for _ in range(2):
        with CLIENTS[kind](app) as client:

            def status(client: Any = client) -> str:
                reply = client.get("/products/42")
                assert reply.status_code == 200
                assert "42" in reply.text
                return str(reply.headers["cache-status"])

            assert "hit" not in status()
            eventually_sync(lambda: "hit" in status())
        assert not app.cache.session.is_open

import asyncio
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString

import nats
import psycopg


def _ask(url: str, sql: LiteralString) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(sql).fetchone()
    return row[0] if row else None


def _write(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")


async def _publish(url: str, count: int) -> int:
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept.>"])
    for _ in range(count):
        await stream.publish("kept.x", b"body")
    messages = (await stream.stream_info("KEPT")).state.messages
    await client.close()
    return int(messages)


def test_a_directory_may_have_any_name(start_stack: Callable[..., Any], open_path: Path) -> None:
    """Blanks, quotes and letters beyond ASCII in a home directory stop none of the servers."""
    stack = start_stack(open_path / 'Ana\'s "données" 相場 $HOME', "postgres,valkey,nats")
    urls = stack.wait_up()["urls"]
    assert _ask(urls["postgres"], "SELECT 1") == 1
    assert asyncio.run(_publish(urls["nats"], 1)) == 1
    os.kill(stack.process.pid, signal.SIGINT)
    assert stack.wait_end() == 0


def test_data_is_kept_between_runs_until_fresh(
    start_stack: Callable[..., Any], open_path: Path
) -> None:
    """Rows and messages outlive a stop and a kill -9 of the stack; `fresh` drops them."""
    state = open_path / "state"
    stack = start_stack(state, "postgres,nats")
    urls = stack.wait_up()["urls"]
    _write(urls["postgres"])
    assert asyncio.run(_publish(urls["nats"], 10)) == 10
    os.kill(stack.process.pid, signal.SIGINT)
    assert stack.wait_end() == 0

    stack = start_stack(state, "postgres,nats")
    urls = stack.wait_up()["urls"]
    assert _ask(urls["postgres"], "SELECT count(*) FROM kept") == 1000
    assert asyncio.run(_publish(urls["nats"], 5)) == 15
    os.kill(stack.process.pid, signal.SIGKILL)
    stack.wait_end()

    stack = start_stack(state, "postgres,nats")
    urls = stack.wait_up()["urls"]
    assert _ask(urls["postgres"], "SELECT count(*) FROM kept") == 1000
    assert asyncio.run(_publish(urls["nats"], 0)) == 15
    os.kill(stack.process.pid, signal.SIGTERM)
    stack.wait_end()

    stack = start_stack(state, "postgres,nats", fresh=True)
    urls = stack.wait_up()["urls"]
    assert _ask(urls["postgres"], "SELECT to_regclass('kept')") is None
    assert asyncio.run(_publish(urls["nats"], 0)) == 0


def test_a_killed_server_comes_back_on_its_port_with_its_data(
    start_stack: Callable[..., Any], open_path: Path
) -> None:
    """After kill -9 PostgreSQL answers at the same address with all that was committed."""
    stack = start_stack(open_path / "state", "postgres")
    up = stack.wait_up()
    _write(up["urls"]["postgres"])

    os.kill(up["pids"]["postgres"], signal.SIGKILL)
    stack.wait_for(lambda: len(stack.events("ready")) == 2)

    assert _ask(up["urls"]["postgres"], "SELECT count(*) FROM kept") == 1000


def test_kept_data_is_durable(start_stack: Callable[..., Any], open_path: Path) -> None:
    """Kept data survives a crash of the machine: nothing that guards it is switched off."""
    url = start_stack(open_path / "state", "postgres").wait_up()["urls"]["postgres"]

    assert _ask(url, "SHOW fsync") == "on"
    assert _ask(url, "SHOW full_page_writes") == "on"
    assert _ask(url, "SHOW synchronous_commit") == "on"


def test_secrets_are_readable_by_their_owner_alone(
    start_stack: Callable[..., Any], open_path: Path
) -> None:
    """The password is made for this directory, and no other account can read it."""
    stack = start_stack(open_path / "state", "postgres")
    url = stack.wait_up()["urls"]["postgres"]
    stack.wait_for((open_path / "state/run.json").exists)
    password = (open_path / "state/postgres.password").read_text().strip()
    assert f":{password}@" in url
    assert len(password) > 20
    for name in ("postgres.password", "run.json", "lock", "logs", "postgres"):
        mode = stat.S_IMODE((open_path / "state" / name).stat().st_mode)
        assert mode & 0o077 == 0, name

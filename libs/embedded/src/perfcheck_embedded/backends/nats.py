"""NATS with JetStream as a supervised process, with a user for each service and publisher."""

import json
from collections.abc import Sequence
from pathlib import Path

from perfcheck_embedded.backends import nats_permissions
from perfcheck_embedded.backends.binaries import Binaries
from perfcheck_embedded.backends.probes import nats_ready
from perfcheck_embedded.backends.server import SERVER_ENVIRONMENT, Server, TlsFiles
from perfcheck_embedded.ports import LOOPBACK
from perfcheck_embedded.processes.process import Process
from perfcheck_embedded.state.credentials import kept_secret, write_secret
from perfcheck_embedded.state.directory import StateDir

TEST_USER = "test"
PUBLISHERS = ("cli", "shop")
_FILE_BYTES_MAX = 4 * 1024 * 1024 * 1024  # streams reserve their bounds of it, not of the disk
_MEMORY_BYTES_MAX = 64 * 1024 * 1024
# An acknowledged message is in the kernel's hands, so a killed server loses none; only a crash of
# the whole machine can take the last second. That also empties the caches that would have needed
# those messages, so a sync for each message would buy nothing.
_SYNC_INTERVAL_DURABLE = "1s"
_SYNC_INTERVAL_THROW_AWAY = "10m"


def nats(
    state: StateDir,
    binaries: Binaries,
    *,
    port: int,
    durable: bool = True,
    restart: bool = False,
    name: str = "nats",
    publishers: Sequence[str] = PUBLISHERS,
    test_user: bool = False,
    tls: TlsFiles | None = None,
) -> Server:
    """Return NATS on 127.0.0.1:`port`, streams kept in files below the state directory.

    Its users are those of `nats_permissions`, with passwords made for this state directory;
    `urls` has the address of each, `url` is the first publisher's. With `test_user` there is also
    `test`, who may do everything. With `tls` all clients must speak TLS.
    """
    directory = state.path / name
    directory.mkdir(mode=0o700, exist_ok=True)
    config = directory / "nats.conf"
    users = nats_permissions.users(publishers)
    names = [user.name for user in users] + ([TEST_USER] if test_user else [])
    passwords = {each: kept_secret(state, f"{name}-{each}.password") for each in names}
    entries = [user.configuration(passwords[user.name]) for user in users]
    if test_user:
        entries.append({"user": TEST_USER, "password": passwords[TEST_USER]})
    settings: dict[str, object] = {
        "server_name": f"perfcheck-{name}",
        "host": LOOPBACK,
        "port": port,
        "jetstream": {
            "store_dir": str(directory),
            "max_file_store": _FILE_BYTES_MAX,
            "max_memory_store": _MEMORY_BYTES_MAX,
            "sync_interval": _SYNC_INTERVAL_DURABLE if durable else _SYNC_INTERVAL_THROW_AWAY,
        },
        # The system account, in which the whole server is visible, has no user.
        "accounts": {"PERFCHECK": {"jetstream": "enabled", "users": entries}, "SYS": {"users": []}},
        "system_account": "SYS",
    }
    if tls is not None:
        settings["tls"] = {"cert_file": str(tls.certificate), "key_file": str(tls.key)}
    # Its configuration language contains JSON, but no \u escapes: letters stay as they are.
    write_secret(config, json.dumps(settings, indent=1, ensure_ascii=False))
    process = Process(
        name=name,
        argv=[str(binaries.nats_server), "--config", str(config)],
        env=SERVER_ENVIRONMENT,
        ready=nats_ready(port, user=names[0], password=passwords[names[0]]),
        port=port,
        restart=restart,
        cwd=Path("/"),
    )
    scheme = "nats" if tls is None else "tls"
    urls = {each: f"{scheme}://{each}:{passwords[each]}@{LOOPBACK}:{port}" for each in names}
    return Server(process=process, url=urls[publishers[0]], urls=urls)

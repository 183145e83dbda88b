"""NATS with JetStream as a supervised process, with an account for each publisher."""

import json
from pathlib import Path

from asgi_isr.events import STREAM
from asgi_isr.reports import INSTANCES_STREAM
from perfcheck_contracts import DEAD_LETTERS_STREAM, RECEIPTS_STREAM

from perfcheck_embedded.backends.binaries import Binaries
from perfcheck_embedded.backends.nats_accounts import LOG, WORK, accounts
from perfcheck_embedded.backends.nats_configuration import configuration
from perfcheck_embedded.backends.nats_publishers import kept_publishers
from perfcheck_embedded.backends.probes import nats_ready
from perfcheck_embedded.backends.server import SERVER_ENVIRONMENT, Server, TlsFiles
from perfcheck_embedded.ports import LOOPBACK
from perfcheck_embedded.processes.process import Process
from perfcheck_embedded.state.credentials import kept_secret, write_secret
from perfcheck_embedded.state.directory import StateDir

_FORMER_ACCOUNT = "PERFCHECK"
_OWNERS = dict.fromkeys((STREAM, INSTANCES_STREAM, RECEIPTS_STREAM), LOG) | {
    DEAD_LETTERS_STREAM: WORK
}
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
    test_user: bool = False,
    tls: TlsFiles | None = None,
) -> Server:
    """Return NATS on 127.0.0.1:`port`, streams kept in files below the state directory.

    Its accounts are those of `nats_accounts`, with the publishers that this state directory keeps
    and passwords made for it; `urls` has the address of each user, `url` is the first publisher's.
    With `test_user` there are also `TEST_USERS`, each of whom may do all that its account can. With
    `tls` all clients must speak TLS. Streams of the layout with one account are
    moved to where they belong now.
    """
    directory = state.path / name
    directory.mkdir(mode=0o700, exist_ok=True)
    _move_streams(directory)
    publishers = kept_publishers(state, name)
    every = accounts(publishers, test_users=test_user)
    names = [user.name for account in every for user in account.users]
    passwords = {each: kept_secret(state, f"{name}-{each}.password") for each in names}
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
        "accounts": configuration(every, passwords),
        "system_account": "SYS",
    }
    if tls is not None:
        settings["tls"] = {"cert_file": str(tls.certificate), "key_file": str(tls.key)}
    config = directory / "nats.conf"
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


def _move_streams(directory: Path) -> None:
    """Give the streams of the one account that there was to the accounts that own them now.

    Nothing is lost by it, nor sent again. What no account of ours owns stays where it is.
    """
    stores = directory / "jetstream"
    for stream, owner in _OWNERS.items():
        old, new = (stores / account / "streams" / stream for account in (_FORMER_ACCOUNT, owner))
        if old.exists() and not new.exists():
            new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            old.rename(new)

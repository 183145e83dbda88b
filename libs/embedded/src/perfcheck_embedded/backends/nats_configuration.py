"""Accounts of NATS as its configuration writes them: users, what is exported, who imports it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["ANSWER_S_MAX", "Account", "Export", "NatsUser", "configuration"]

ANSWER_S_MAX = 30  # who answers a request may do so for so long, once


@dataclass(frozen=True, kw_only=True)
class NatsUser:
    """A user: subjects it may publish to, and subscribe to beside its own inboxes.

    With `answers` it may answer each request that it was sent, once, within `ANSWER_S_MAX`. With
    `unrestricted` it may do whatever its account can.
    """

    name: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    answers: bool = False
    unrestricted: bool = False

    def configuration(self, password: str) -> dict[str, object]:
        """Return the user as NATS's configuration knows it."""
        if self.unrestricted:
            return {"user": self.name, "password": password}
        permissions: dict[str, object] = {
            "publish": {"allow": list(self.publish)},
            "subscribe": {"allow": [*self.subscribe, f"_INBOX_{self.name}.>"]},
        }
        if self.answers:
            permissions["allow_responses"] = {"max": 1, "expires": f"{ANSWER_S_MAX}s"}
        return {"user": self.name, "password": password, "permissions": permissions}


@dataclass(frozen=True, kw_only=True)
class Export:
    """What an account lets others have, by name: a `service` to ask, or a `stream` to hear.

    The answer goes to the one who asked, in its own account; with `many` there may be more than
    one. `local` is what importers call it, where that is not `subject`.
    """

    subject: str
    importers: tuple[str, ...]
    kind: Literal["service", "stream"] = "service"
    many: bool = False
    local: str = ""

    def export(self) -> dict[str, object]:
        """Return it as the account's configuration names it that exports it."""
        many = {"response_type": "stream"} if self.many else {}
        return {self.kind: self.subject, **many, "accounts": list(self.importers)}

    def imported(self, account: str) -> dict[str, object]:
        """Return it as those name it that import it from `account`."""
        renamed = {"to": self.local} if self.local else {}
        return {self.kind: {"account": account, "subject": self.subject}, **renamed}


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account: its users, what it exports, and its limits of JetStream, "" without it."""

    name: str
    users: tuple[NatsUser, ...]
    exports: tuple[Export, ...] = ()
    jetstream: str | Mapping[str, int] = ""


def configuration(every: Sequence[Account], passwords: Mapping[str, str]) -> dict[str, object]:
    """Return `accounts` of NATS's configuration; `passwords` are by user."""
    found: dict[str, object] = {}
    for account in every:
        imports = [
            export.imported(other.name)
            for other in every
            for export in other.exports
            if account.name in export.importers
        ]
        found[account.name] = {
            **({"jetstream": account.jetstream} if account.jetstream else {}),
            "users": [user.configuration(passwords[user.name]) for user in account.users],
            **({"exports": [e.export() for e in account.exports]} if account.exports else {}),
            **({"imports": imports} if imports else {}),
        }
    # The system account, in which the whole server is visible, has no user.
    return {**found, "SYS": {"users": []}}

"""Accounts with one right too many, each of which the matrix must find."""

from collections.abc import Callable
from typing import NamedTuple

from attack.system import BFF, REVALIDATOR, Accounts

__all__ = ["PLANTED", "Planted", "unbound"]

_LOG = "CACHE_INVALIDATIONS"


class Planted(NamedTuple):
    """What is changed, who has the right then, and what a finding must name.

    More than `findings_max` of them end the attack.
    """

    name: str
    plant: Callable[[Accounts], None]
    user: str
    found: str
    findings_max: int = 0


def _export(accounts: Accounts, importer: str, subject: str, to: str = "") -> None:
    accounts["LOG"]["exports"].append({"service": subject, "accounts": [importer]})
    renamed = {"to": to} if to else {}
    service = {"account": "LOG", "subject": subject}
    accounts[importer]["imports"].append({"service": service, **renamed})


def _publish(accounts: Accounts, account: str, subject: str) -> None:
    accounts[account]["users"][0]["permissions"]["publish"]["allow"].append(subject)


def _consumers_for_pages(accounts: Accounts) -> None:
    subject = f"CONSUMER.CREATE.{_LOG}.>"
    _export(accounts, "PAGES", f"$JS.API.{subject}", f"log.api.{subject}")


def _pages_speak_as_the_log(accounts: Accounts) -> None:
    _publish(accounts, "PAGES", "cache.log.v1.>")


def _publishers_share_an_account(accounts: Accounts) -> None:
    moved = accounts.pop("PUB_shop")
    accounts["PUB_cli"]["users"] += moved["users"]
    accounts["PUB_cli"]["imports"] += moved["imports"]
    for export in accounts["LOG"]["exports"]:
        export["accounts"] = [
            "PUB_cli" if name == "PUB_shop" else name for name in export["accounts"]
        ]


def _marks_for_a_publisher(accounts: Accounts) -> None:
    _export(accounts, "PUB_shop", "cache.marks.v1.>")
    _publish(accounts, "PUB_shop", "cache.marks.v1.>")


def _changed_consumer(accounts: Accounts) -> None:
    subject = f"CONSUMER.DURABLE.CREATE.{_LOG}.revalidator"
    _export(accounts, "WORK", f"$JS.API.{subject}", f"log.api.{subject}")


def _one_account(accounts: Accounts) -> None:
    """Put the page servers into the log's own account, with the rights that they had before."""
    moved = accounts["PAGES"]["users"][0]
    accounts["PAGES"]["users"] = accounts["PAGES"]["users"][1:]
    moved["permissions"]["publish"]["allow"] += [
        f"$JS.API.STREAM.INFO.{_LOG}", f"$JS.API.DIRECT.GET.{_LOG}",
    ]  # fmt: skip
    accounts["LOG"]["users"].append(moved)


def unbound(user: str) -> Callable[[Accounts], None]:
    """Return a change that takes away the permissions of `user`: only its account is left."""

    def plant(accounts: Accounts) -> None:
        for account in accounts.values():
            for each in account["users"]:
                if each["user"] == user:
                    del each["permissions"]

    return plant


PLANTED = (
    Planted("consumers for page servers", _consumers_for_pages, BFF, "CONSUMER.CREATE"),
    Planted("page servers speak as the log", _pages_speak_as_the_log, BFF, "takes for a message"),
    Planted("two publishers in one account", _publishers_share_an_account, "shop",
            "cache.invalidations.v1.cli"),
    Planted("marks for a publisher", _marks_for_a_publisher, "shop", "of cache.marks.v1"),
    Planted("a consumer for the revalidator to change", _changed_consumer, REVALIDATOR,
            f"{_LOG}/revalidator: configuration"),
    Planted("one account, and permissions alone", _one_account, BFF, "of cache.invalidations.v1",
            findings_max=3),
)  # fmt: skip

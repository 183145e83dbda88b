"""The command line: flags out of the settings, and what is wrong with a value in one sentence."""

import argparse
import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

import msgspec

from asgi_isr.proxy.pool import Origin
from asgi_isr.proxy.settings import CACHE_HELP, PROXY_HELP, ProxySettings
from asgi_isr.settings import HEURISTIC, CacheSettings

_TOKEN = re.compile(r"[A-Za-z][!#$%&'*+.^_`|~0-9A-Za-z-]*")
_HOST = re.compile(r"[A-Za-z0-9._:-]*")
_STORES = ("redis", "rediss", "unix")
_LOGS = ("nats", "tls", "ws", "wss")


def parser() -> argparse.ArgumentParser:
    """Return the parser of `asgi-isr`."""
    root = argparse.ArgumentParser(prog="asgi-isr", description="A coherent page cache.")
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    proxy = commands.add_parser(
        "proxy",
        help="put the cache in front of an HTTP service",
        description="Put the page cache in front of an HTTP service.",
        allow_abbrev=False,
    )
    proxy.set_defaults(proxy=proxy)
    _add(proxy, ProxySettings, PROXY_HELP)
    _add(proxy.add_argument_group("cache"), CacheSettings, CACHE_HELP)
    proxy.add_argument(
        "--heuristic", "--no-heuristic", action=_Replaced, nargs=0, help=argparse.SUPPRESS,
        default=argparse.SUPPRESS, const=HEURISTIC,
    )  # fmt: skip
    return root


class _Replaced(argparse.Action):
    """A flag that others took the place of: says which."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        del namespace, values
        parser.error(f"{option_string} is gone; choose from {', '.join(map(flag, self.const))}")


def parse(arguments: Sequence[str]) -> ProxySettings:
    """Return what the arguments say; exits with status 2 and a message where they are wrong."""
    given = vars(parser().parse_args(arguments))
    proxy: argparse.ArgumentParser = given.pop("proxy")
    cache = {name: given.pop(name) for name in CACHE_HELP}
    cache["bypass"] = tuple(cache["bypass"])
    settings = ProxySettings(cache=CacheSettings(**cache), **given)
    problem = _problem(settings)
    if problem is not None:
        proxy.error(problem)
    return settings


def flag(field: str) -> str:
    """Return the flag of a setting."""
    return "--" + field.removesuffix("_s").replace("_", "-")


def origin(url: str) -> Origin:
    """Return where `url` leads. Raises `ValueError` when it is not a plain HTTP address."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    plain = parts.path in {"", "/"} and not (parts.query or parts.fragment or parts.username)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not plain:
        raise ValueError("give scheme, host and port alone, such as http://127.0.0.1:3000")
    return Origin(parts.hostname, parts.port or (443 if tls else 80), tls)


def address(listen: str) -> tuple[str, int]:
    """Return host and port to listen on. Raises `ValueError` when it is neither."""
    parts = urlsplit(f"//{listen}")
    if not parts.hostname or not parts.port or parts.netloc != listen or parts.username:
        raise ValueError("give host and port, such as 127.0.0.1:8080")
    return parts.hostname, parts.port


def place(url: str) -> str:
    """Return a URL without user, password and query, for people to read."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _add(
    group: argparse._ActionsContainer, struct: type[msgspec.Struct], helps: dict[str, str]
) -> None:
    """Add a flag for each field that has a help line."""
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    for name, text in helps.items():
        field = fields[name]
        required = field.default is msgspec.NODEFAULT
        shown = "" if required or field.default in ("", (), None) else " (default: %(default)s)"
        if field.type is bool:
            group.add_argument(
                flag(name), dest=name, default=field.default, help=text + shown,
                action=argparse.BooleanOptionalAction,
            )  # fmt: skip
        elif isinstance(field.default, tuple):
            group.add_argument(
                flag(name), dest=name, default=[], help=text, action="append", metavar="PREFIX"
            )
        else:
            kind = {int: int, float: float, str: str}.get(field.type, _names)
            group.add_argument(
                flag(name), dest=name, required=required, type=kind, help=text + shown,
                default=None if required else field.default, metavar=_METAVARS.get(kind, "TEXT"),
            )  # fmt: skip


def _names(text: str) -> frozenset[str]:
    return frozenset(name for name in text.split(",") if name)


_METAVARS: dict[object, str] = {int: "N", float: "SECONDS", _names: "NAMES"}


def _problem(settings: ProxySettings) -> str | None:
    """Say what is wrong, beginning with the flag, or return None."""
    for name, check in (("upstream", origin), ("listen", address)):
        try:
            check(getattr(settings, name))
        except ValueError as error:
            return f"{flag(name)}: {getattr(settings, name)!r} is not valid: {error}"
    for name, schemes in (("store", _STORES), ("log", _LOGS)):
        url = getattr(settings, name)
        if url and not _reachable(urlsplit(url), schemes):
            known = " or ".join(f"{scheme}://" for scheme in schemes)
            return f"{flag(name)}: give a URL that begins with {known}"
    if not _HOST.fullmatch(settings.upstream_host):
        return f"{flag('upstream_host')}: give a host, optionally with a port"
    cache = settings.cache
    if not _TOKEN.fullmatch(cache.name):
        return f"{flag('name')}: give a word of letters, digits and dashes"
    wrong = [prefix for prefix in cache.bypass if not prefix.startswith("/")]
    if wrong:
        return f"{flag('bypass')}: {wrong[0]!r} does not begin with '/'"
    numbers = [(name, getattr(settings, name)) for name in PROXY_HELP]
    numbers += [(name, getattr(cache, name)) for name in CACHE_HELP]
    for name, value in numbers:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and not 0 < value < float("inf"):
            return f"{flag(name)}: give a number above 0"
    return None


def _reachable(parts: SplitResult, schemes: tuple[str, ...]) -> bool:
    return parts.scheme in schemes and bool(parts.hostname or parts.path.strip("/"))

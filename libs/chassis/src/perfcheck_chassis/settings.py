"""Settings from the environment: one frozen struct per service, all mistakes told at once.

The field `pool_size_min` is read from `PERFCHECK_POOL_SIZE_MIN`. An empty variable counts as unset,
as Compose and task definitions pass the empty string for what is not given.
"""

import math
import os
import socket
import ssl
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

import msgspec
from perfcheck_contracts.limits import DRAIN_S_MAX

from perfcheck_chassis.identity.tokens import TokenKeys
from perfcheck_chassis.secret import Secret

__all__ = [
    "VARIABLE_PREFIX",
    "ServiceSettings",
    "SettingsError",
    "check_ca_file",
    "environment",
    "load",
    "share_instance_id",
]

VARIABLE_PREFIX = "PERFCHECK_"

_NAMES = {"`int`": "an integer", "`float`": "a number", "`bool`": "true or false", "`str`": "text"}

SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)


class SettingsError(Exception):
    """The environment does not make valid settings; `problems` has one line per variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("invalid settings: " + "; ".join(problems))
        self.problems = problems


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every service needs; subclass it, set `service`, add fields.

    Attributes:
        service: name of the service, the same in health, logs and the default instance id.
        host: address to listen on.
        port: TCP port to listen on.
        instance_id: name of this process; by default `<service>-<hostname>-<pid>`.
        log_level: least severe level that is logged.
        drain_s: seconds of 503 readiness after SIGTERM before the listener closes, so that load
            balancers stop sending first; what follows must fit into the task's `stopTimeout` too.
        token_key: signs and verifies service tokens, at least 32 bytes; without it every request
            that needs a token is refused.
        token_key_previous: verifies only; the key that was in use before, while it is changed.
        tls_ca_file: PEM file of the CAs whose certificates NATS, Valkey and PostgreSQL may show,
            where their URLs ask for TLS; without it those that the system trusts.

    """

    service: ClassVar[str] = "service"

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8000
    instance_id: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    drain_s: Annotated[float, msgspec.Meta(ge=0, le=DRAIN_S_MAX)] = 0.0
    token_key: Secret | None = None
    token_key_previous: Secret | None = None
    tls_ca_file: str = ""

    def __post_init__(self) -> None:
        """Name this process when nobody did; refuse short keys and files without a CA."""
        if not self.instance_id:
            name = f"{self.service}-{socket.gethostname()}-{os.getpid()}"
            msgspec.structs.force_setattr(self, "instance_id", name)
        self.token_keys()
        check_ca_file(self.tls_ca_file)

    def token_keys(self) -> TokenKeys:
        """Return the keys of service tokens; ValueError says which is too short."""
        return TokenKeys(self.token_key, self.token_key_previous)


def check_ca_file(path: str) -> None:
    """Raise ValueError if there is a `path` and no certificate of a CA can be read there."""
    if not path:
        return
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if error.filename or not isinstance(error, ssl.SSLError) else ""
        raise ValueError(
            f"PERFCHECK_TLS_CA_FILE: {path}: {reason or 'holds no certificate in PEM form'}"
        ) from error


def environment() -> Mapping[str, str]:
    """Return the environment of this process as it is now; nothing else reads it."""
    return dict(os.environ)  # noqa: TID251  this is the environment's one module


def share_instance_id(settings: ServiceSettings) -> None:
    """Let processes started from here load the same instance id, also where nobody set one."""
    os.environ[VARIABLE_PREFIX + "INSTANCE_ID"] = settings.instance_id  # noqa: TID251  as above


def load(settings_type: type[SettingsT], environ: Mapping[str, str]) -> SettingsT:
    """Read `settings_type` from `environ`.

    Raises:
        SettingsError: naming every variable that is missing, malformed or out of range, and why.

    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in msgspec.structs.fields(settings_type):
        variable = VARIABLE_PREFIX + field.name.upper()
        text = environ.get(variable, "")
        if not text:
            if field.required:
                problems.append(f"{variable}: required, but not set")
            continue
        try:
            values[field.name] = _convert(text, field.type)
        except msgspec.ValidationError as error:
            shown = Secret(text) if _is_secret(field.type) else text
            problems.append(f"{variable}: {_reason(error)}, got {shown!r}")
    if problems:
        raise SettingsError(problems)
    try:
        return settings_type(**values)
    except ValueError as error:  # how a type says that its settings do not fit each other
        raise SettingsError([str(error)]) from error


def _convert(text: str, field_type: Any) -> Any:
    value = msgspec.convert(text, field_type, strict=False, dec_hook=_decode)
    if isinstance(value, float) and not math.isfinite(value):
        raise msgspec.ValidationError("Expected a finite number")
    return value


def _decode(field_type: type, value: Any) -> Any:
    if field_type is Secret:
        return Secret(value)
    raise TypeError(f"{field_type!r} is not a type of a setting")


def _is_secret(field_type: Any) -> bool:
    return field_type is Secret or Secret in get_args(field_type)


def _reason(error: msgspec.ValidationError) -> str:
    """Say msgspec's reason in the words of whoever sets an environment variable."""
    text = str(error).removesuffix(", got `str`")
    if text.startswith("Invalid enum value"):
        return "not one of the allowed values"
    for technical, plain in _NAMES.items():
        text = text.replace(technical, plain)
    return text[:1].lower() + text[1:]

"""What every service needs once: settings, logs, health, problems, HTTP client, server, timing.

Names load when they are first used: a one-shot command that only wants settings and logs does not
pay for Litestar and Granian (half a second of CPU). `__init__.pyi` says the same to type checkers;
a test holds the two together.
"""

import importlib
from typing import Any

_HOME = {
    "ASGIApp": "asgi",
    "BODY_BYTES_MAX": "limits",
    "Backoff": "backoff",
    "CLIENT_IDLE_S": "limits",
    "Caller": "tokens",
    "Check": "health",
    "ConsistencyTokens": "consistency",
    "Health": "health",
    "Jitter": "backoff",
    "JsonFormatter": "logs",
    "NeighbourError": "http_client",
    "Problem": "problems",
    "REQUEST_S": "limits",
    "Reply": "http_client",
    "RequestTimeLimit": "request_limit",
    "SERVER_IDLE_S": "limits",
    "ScopeError": "tokens",
    "Secret": "secret",
    "ServerTiming": "timing",
    "ServiceClient": "http_client",
    "ServiceSettings": "settings",
    "SettingsError": "settings",
    "TokenError": "tokens",
    "TokenKeys": "tokens",
    "WORKER_STOP_S": "limits",
    "app_duration_s": "timing",
    "background_tasks": "background",
    "caller_of": "authorization",
    "check_ca_file": "settings",
    "configure_logging": "logs",
    "create_litestar": "application",
    "environment": "settings",
    "health_routes": "health",
    "jitter": "backoff",
    "load": "settings",
    "metrics_route": "metrics",
    "problem_handlers": "problems",
    "requires": "authorization",
    "serve": "server",
    "wait_s": "backoff",
}

__all__ = sorted(_HOME)  # noqa: PLE0605  the same names as in `__init__.pyi`, which tools read


def __getattr__(name: str) -> Any:
    """Load a public name from its module, once."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value

"""What a figure depends on besides the code: the machine and the versions. For the report only."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import psutil

_DISTRIBUTIONS = ("perfcheck", "asgi-isr", "granian", "litestar", "uvloop", "msgspec", "aiohttp")


def fingerprint() -> dict[str, Any]:
    """Return processor, cores, memory, system, Python and the versions of what does the work."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average_1m": round(psutil.getloadavg()[0], 2),
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": _versions(),
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # no Linux
    return platform.processor() or "unknown"


def _versions() -> dict[str, str]:
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found

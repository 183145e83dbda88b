"""What renders the pages: a digest of this package, so that no release shows another's pages."""

import hashlib
from pathlib import Path

__all__ = ["fingerprint"]

_OWN_PACKAGE = Path(__file__).parent
_CHARS = 12


def fingerprint(package: Path = _OWN_PACKAGE) -> str:
    """Return a digest of every source, template, text and asset of `package`, names included."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(package)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:_CHARS]

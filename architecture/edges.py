"""Imports between the rooms of a package: its direct children, modules and sub-packages alike."""

from collections.abc import Iterable

import grimp

from architecture.findings import Finding

ROOMS_OF = "asgi_isr"
EDGES_MAX = 80

Edge = tuple[str, str]


def import_edges(package: str = ROOMS_OF) -> set[Edge]:
    """Return who imports whom, each pair of rooms once; what `__init__` imports does not count."""
    graph = grimp.build_graph(package, cache_dir=None)
    pairs = (
        (importer, imported)
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    )
    return edges_of(package, pairs)


def edges_of(package: str, pairs: Iterable[Edge]) -> set[Edge]:
    """Return the pairs of rooms of which a module of the one imports a module of the other."""
    rooms = ((_room(package, importer), _room(package, imported)) for importer, imported in pairs)
    return {(one, other) for one, other in rooms if one and other and one != other}


def _room(package: str, module: str) -> str:
    top, _, rest = module.partition(".")
    return rest.partition(".")[0] if top == package else ""


def edges(package: str = ROOMS_OF, *, limit: int = EDGES_MAX) -> list[Finding]:
    """Return a finding when the rooms of `package` know too many of each other."""
    count = len(import_edges(package))
    if count <= limit:
        return []
    what = f"{count} import edges between its rooms, at most {limit}"
    todo = "import through fewer rooms: `python -m architecture --edges` lists them"
    return [Finding(package, what, todo)]

"""Facts that stand in two packages: one of the two will be wrong one day.

Compared over packages, never within one: constants of modules by their name without underscores,
structs by their name, subjects and streams by their text, functions by their syntax tree.
"""

import ast
import copy
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple

from architecture.findings import Finding
from architecture.tree import Module, Package

FUNCTION_LINES_MIN = 5
# Ours; what begins with `$JS` is the broker's, and is said by whoever speaks to it.
SUBJECT = re.compile(r"(cache|perfcheck)(\.[a-z0-9-]+)+\.v\d+(\.[\w.>*-]*)?")
STREAM = re.compile(r"CACHE_[A-Z_]+")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Fact(NamedTuple):
    """Something that is defined at a place."""

    key: Hashable
    shown: str
    package: str
    place: str


def once(packages: Iterable[Package]) -> list[Finding]:
    """Return what is defined in more than one package."""
    modules = [module for package in packages for module in package.modules]
    found: list[Finding] = []
    for kind, (facts, todo) in KINDS.items():
        found += _twice(kind, (fact for module in modules for fact in facts(module)), todo)
    return found


def _twice(kind: str, facts: Iterable[Fact], todo: str) -> Iterator[Finding]:
    places: dict[Hashable, list[Fact]] = defaultdict(list)
    for fact in facts:
        places[fact.key].append(fact)
    for same in places.values():
        owners = sorted({fact.package for fact in same})
        if len(owners) > 1:
            first, *others = same
            elsewhere = ", ".join(fact.place for fact in others if fact.package != first.package)
            what = f"{kind} `{first.shown}` also in {elsewhere}"
            yield Finding(first.place, f"{what} (packages: {len(owners)}, at most 1)", todo)


def constants(module: Module) -> Iterator[Fact]:
    """Yield the upper-case names that a module binds, private ones without their underscore."""
    for statement in module.syntax.body:
        for name in _bound(statement):
            plain = name.strip("_")
            if plain.isupper() and not _is_type_variable(statement):
                yield _fact(module, statement, key=plain, shown=name)


def _bound(statement: ast.stmt) -> Iterator[str]:
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    for target in targets:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _is_type_variable(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    return isinstance(value, ast.Call) and ast.unparse(value.func).endswith(
        ("TypeVar", "ParamSpec", "TypeVarTuple")
    )


def structs(module: Module) -> Iterator[Fact]:
    """Yield the msgspec structs of a module, also those that are made of another of its own."""
    known: set[str] = set()
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            if any("Struct" in base for base in bases) or bases & known:
                known.add(node.name)
                plain = node.name.strip("_")
                yield _fact(module, node, key=plain, shown=plain)


def literals(module: Module) -> Iterator[Fact]:
    """Yield subjects and streams that are written out, in parts of f-strings as well."""
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if SUBJECT.fullmatch(text) or STREAM.fullmatch(text):
                yield _fact(module, node, key=text.rstrip(".*>"), shown=text)


def functions(module: Module) -> Iterator[Fact]:
    """Yield the functions of five or more lines, by their tree without names and docstring."""
    for node in ast.walk(module.syntax):
        if isinstance(node, Function) and _lines(node) >= FUNCTION_LINES_MIN:
            yield _fact(module, node, key=normalised(node), shown=node.name)


def _lines(node: Function) -> int:
    """Count the lines from `def` to the end, without those of the docstring."""
    count = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        first = node.body[0]
        count -= (first.end_lineno or first.lineno) - first.lineno + 1
    return count


def normalised(node: Function) -> str:
    """Return the tree of a function as text, in which its own names are numbered as they come.

    Its own are its name, its parameters and what it binds; names from outside, attributes and
    constants stay, for two functions that call different things do different things.
    """
    tree = copy.deepcopy(node)
    own: dict[str, str] = {}
    for inner in ast.walk(tree):
        if isinstance(inner, Function):
            own.setdefault(inner.name, f"_{len(own)}")
            if ast.get_docstring(inner) is not None:
                inner.body = inner.body[1:] or [ast.Pass()]
        elif isinstance(inner, ast.arg):
            own.setdefault(inner.arg, f"_{len(own)}")
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            own.setdefault(inner.id, f"_{len(own)}")
    for inner in ast.walk(tree):
        if isinstance(inner, Function):
            inner.name = own.get(inner.name, inner.name)
        elif isinstance(inner, ast.arg):
            inner.arg = own[inner.arg]
        elif isinstance(inner, ast.Name):
            inner.id = own.get(inner.id, inner.id)
    return ast.dump(tree)


def _fact(module: Module, node: ast.stmt | ast.expr, *, key: Hashable, shown: str) -> Fact:
    return Fact(key, shown, module.package, f"{module.place}:{node.lineno}")


IMPORT_OR_RENAME = (
    "if it is one fact, define it in the lowest package that both may import; if two, name them so"
)
KINDS: dict[str, tuple[Callable[[Module], Iterator[Fact]], str]] = {
    "constant": (constants, IMPORT_OR_RENAME),
    "struct": (structs, IMPORT_OR_RENAME),
    "subject or stream": (literals, "import the constant that holds it, and make others of it"),
    "function": (functions, "keep one, in the lowest package that both may import"),
}

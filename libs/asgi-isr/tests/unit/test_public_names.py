"""What users import is named in `__all__`, documented, and says its errors and units."""

import ast
import importlib
import importlib.resources
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

MODULES = [
    "asgi_isr",
    "asgi_isr.asgi",
    "asgi_isr.backoff",
    "asgi_isr.coherence",
    "asgi_isr.errors",
    "asgi_isr.events",
    "asgi_isr.frameworks.litestar",
    "asgi_isr.keys",
    "asgi_isr.litestar",
    "asgi_isr.logs",
    "asgi_isr.logs.memory",
    "asgi_isr.logs.nats",
    "asgi_isr.nats",
    "asgi_isr.otel",
    "asgi_isr.ports",
    "asgi_isr.reports",
    "asgi_isr.stores",
    "asgi_isr.stores.memory",
    "asgi_isr.stores.redis",
    "asgi_isr.testing",
]
PLAIN = [
    "asgi_isr",
    "asgi_isr.backoff",
    "asgi_isr.coherence",
    "asgi_isr.errors",
    "asgi_isr.events",
    "asgi_isr.keys",
    "asgi_isr.logs",
    "asgi_isr.ports",
    "asgi_isr.reports",
    "asgi_isr.stores",
    "asgi_isr.testing",
]
UNITS = ("_s", "_bytes", "_bytes_max", "_max", "_ms")

# Imports `sys.argv[1]` where nothing but msgspec and the standard library can be imported.
ALONE = """
import sys
from importlib.machinery import PathFinder

class OnlyMsgspec(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in {"asgi_isr", "msgspec"}:
            return None
        raise ModuleNotFoundError(f"{name} is not part of the core")

sys.meta_path.insert(0, OnlyMsgspec)
__import__(sys.argv[1])
"""


def public(module: str) -> list[tuple[str, Any]]:
    """Return the names and objects of `__all__`."""
    found = importlib.import_module(module)
    return [(name, getattr(found, name)) for name in found.__all__]


def callables(name: str, value: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield the functions that `value` offers, with a name and their documentation."""
    if inspect.isfunction(value):
        yield name, value, value.__doc__ or ""
    elif inspect.isclass(value):
        for member, function in inspect.getmembers(value, inspect.isfunction):
            if not member.startswith("_") and function.__module__.startswith("asgi_isr"):
                yield f"{name}.{member}", function, f"{value.__doc__} {function.__doc__}"


@pytest.mark.parametrize("module", MODULES)
def test_names_are_declared_and_sorted(module: str) -> None:
    """`__all__` holds each name once and in order, and every one of them is there."""
    names = [name for name, _ in public(module)]
    assert len(set(names)) == len(names) > 0
    assert (importlib.import_module(module).__doc__ or "").strip()


@pytest.mark.parametrize("module", MODULES)
def test_what_is_public_is_documented(module: str) -> None:
    """Every class, function and public method has a docstring of its own."""
    for name, value in public(module):
        if inspect.isclass(value):
            assert (value.__doc__ or "").strip(), name
        for member, function, _ in callables(name, value):
            assert (function.__doc__ or "").strip(), f"{module}.{member} has no docstring"


@pytest.mark.parametrize("module", MODULES)
def test_errors_are_named(module: str) -> None:
    """A function says in its docstring, or its class's, which errors it raises itself."""
    for name, value in public(module):
        for member, function, text in callables(name, value):
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
            raised = {
                node.exc.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Raise)
                and isinstance(node.exc, ast.Call)
                and isinstance(node.exc.func, ast.Name)
            }
            untold = {error for error in raised if error not in text}
            assert not untold, f"{module}.{member} raises {untold} and does not say so"


@pytest.mark.parametrize("module", MODULES)
def test_numbers_have_units(module: str) -> None:
    """A parameter that is a float ends in its unit, or the docstring says what it counts."""
    for name, value in public(module):
        for member, function, text in callables(name, value):
            for parameter in inspect.signature(function).parameters.values():
                if parameter.annotation not in {float, "float"}:
                    continue
                told = parameter.name.endswith(UNITS) or parameter.name in text
                assert told, f"{module}.{member}: in what unit is {parameter.name}?"


@pytest.mark.parametrize("module", PLAIN)
def test_core_needs_msgspec_alone(module: str) -> None:
    """Cache, memory stores and logs, events and test kit import without any other package."""
    subprocess.run(  # noqa: S603  our own interpreter and text
        [sys.executable, "-c", ALONE, module], check=True, timeout=60, capture_output=True
    )


def test_publisher_needs_msgspec_alone() -> None:
    """An event is written and addressed where nothing but msgspec is installed."""
    program = ALONE + (
        "from asgi_isr.events import Invalidation, encode, subject_of\n"
        "print(subject_of('shop'), encode(Invalidation(tags=('product:42',))).decode())\n"
    )
    done = subprocess.run(  # noqa: S603  our own interpreter and text
        [sys.executable, "-c", program, "asgi_isr.events"],
        check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == 'cache.invalidations.v1.shop {"tags":["product:42"]}\n'


@pytest.mark.parametrize("module", ["asgi_isr.litestar", "asgi_isr.otel", "asgi_isr.stores.redis"])
def test_adapter_needs_its_extra(module: str) -> None:
    """The refusal above works: an adapter does not import without its library."""
    done = subprocess.run(  # noqa: S603  our own interpreter and text
        [sys.executable, "-c", ALONE, module], check=False, timeout=60, capture_output=True
    )
    assert b"is not part of the core" in done.stderr


def test_types_are_shipped() -> None:
    """Type checkers of users read our annotations (PEP 561)."""
    assert importlib.resources.files("asgi_isr").joinpath("py.typed").is_file()

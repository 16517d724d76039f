"""The house rules themselves: each gives the places where a module breaks it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.source import Module, imports

#: Which floor may import what of the project's own packages (docs/architecture.md).
FLOORS = {
    "mta": ("mta",),
    "sim": ("sim", "mta.system", "mta.wire"),
    "reports": ("reports",),
    "postlab": ("postlab", "reports", "sim", "mta"),
}
OWN = ("mta", "sim", "reports", "postlab", "scenarios", "tests")

#: Modules of chance, clocks and the real machine that the simulated floors must not use.
_REAL = (
    "time",
    "secrets",
    "socket",
    "asyncio",
    "threading",
    "subprocess",
    "multiprocessing",
    "tempfile",
    "shutil",
    "uuid",
)
FORBIDDEN = {"mta": ("simpy", "random", *_REAL), "sim": _REAL}
#: Attributes that read a clock or draw unseeded chance.
CLOCKS = {
    ("datetime", "now"),
    ("datetime", "today"),
    ("datetime", "utcnow"),
    ("date", "today"),
    ("os", "urandom"),
    ("os", "times"),
    ("random", "random"),
    ("random", "randrange"),
    ("random", "choice"),
    ("random", "shuffle"),
    ("random", "randint"),
    ("random", "seed"),
    ("random", "SystemRandom"),
}
#: ``os`` serves mta/ and sim/ for names of errors alone.
OS_ALLOWED = {"strerror"}


def _below(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def floor_breaks(package: str, module: Module) -> Iterator[str]:
    """Imports of a floor above."""
    for line, name in imports(module.tree):
        if _below(name, OWN) and not _below(name, FLOORS[package]):
            yield f"{module.path.name}:{line}: {package}/ imports {name}"


def forbidden_imports(package: str, module: Module) -> Iterator[str]:
    """Imports of modules that read clocks, draw chance, or touch the real machine."""
    for line, name in imports(module.tree):
        if _below(name, FORBIDDEN.get(package, ())):
            yield f"{module.path.name}:{line}: {package}/ imports {name}"


def clock_reads(module: Module) -> Iterator[str]:
    """Calls that read the wall clock or draw unseeded chance, and uses of ``os``."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            pair = (node.value.id, node.attr)
            if pair in CLOCKS or (pair[0] == "os" and node.attr not in OS_ALLOWED):
                yield f"{module.path.name}:{node.lineno}: {pair[0]}.{node.attr}"
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "Random"
            and not node.args
        ):
            yield f"{module.path.name}:{node.lineno}: Random() without a seed"


def set_iterations(module: Module) -> Iterator[str]:
    """Loops over a set that is made on the spot, and orders by id() or hash()."""
    for node in ast.walk(module.tree):
        places: list[ast.expr] = []
        if isinstance(node, ast.For):
            places = [node.iter]
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
            places = [generator.iter for generator in node.generators]
        for place in places:
            made = isinstance(place, ast.Set | ast.SetComp)
            called = (
                isinstance(place, ast.Call)
                and isinstance(place.func, ast.Name)
                and place.func.id in ("set", "frozenset")
            )
            if made or called:
                yield f"{module.path.name}:{place.lineno}: iteration over a set"
        if isinstance(node, ast.keyword) and node.arg == "key":
            if isinstance(node.value, ast.Name) and node.value.id in ("id", "hash"):
                yield f"{module.path.name}:{node.value.lineno}: order by {node.value.id}()"


def wait_functions(modules: tuple[Module, ...]) -> tuple[set[str], set[str]]:
    """Names of functions typed ``-> Wait[...]``, and names that are also something else."""
    waiting: set[str] = set()
    others: set[str] = {name for kind in (list, dict, set, bytearray, str) for name in dir(kind)}
    others |= {"send", "throw", "close", "fail", "succeed"}  # of generators and SimPy events
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef):
                returns = ast.unparse(node.returns) if node.returns else ""
                (waiting if returns.startswith("Wait[") else others).add(node.name)
    return waiting, others


def bare_waits(module: Module, names: set[str]) -> Iterator[str]:
    """Statements that call a Wait function and drop what it returns: a forgotten yield from."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            function = node.value.func
            name = (
                function.attr
                if isinstance(function, ast.Attribute)
                else (function.id if isinstance(function, ast.Name) else "")
            )
            if name in names:
                yield f"{module.path.name}:{node.lineno}: bare call of {name}()"
        if isinstance(node, ast.If | ast.While | ast.Assert):
            test = node.test
            while isinstance(test, ast.UnaryOp):
                test = test.operand
            if isinstance(test, ast.Call):
                function = test.func
                name = (
                    function.attr
                    if isinstance(function, ast.Attribute)
                    else (function.id if isinstance(function, ast.Name) else "")
                )
                if name in names:
                    yield f"{module.path.name}:{node.lineno}: {name}() tested without yield from"

"""What the house rules look at: the project's modules as syntax trees."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("mta", "sim", "reports", "postlab")


class Module(NamedTuple):
    """A source file."""

    name: str  #: dotted
    path: Path
    tree: ast.Module


@cache
def modules(package: str) -> tuple[Module, ...]:
    """All modules of a package, in order of their paths."""
    return tuple(_load(path) for path in sorted((ROOT / package).rglob("*.py")))


def _load(path: Path) -> Module:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return Module(name, path, ast.parse(path.read_text(encoding="utf-8"), str(path)))


@cache
def imports(tree: ast.AST) -> tuple[tuple[int, str], ...]:
    """The modules that a tree imports, with their lines; ``from a import b`` gives ``a``."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.lineno, node.module))
    return tuple(found)


def is_generator(function: ast.FunctionDef) -> bool:
    """Whether a function yields, nested functions aside."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            todo.extend(ast.iter_child_nodes(node))
    return False

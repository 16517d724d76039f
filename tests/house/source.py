"""What the house rules look at: the project's modules as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
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


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The modules that a tree imports, with their lines; ``from a import b`` gives ``a``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


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

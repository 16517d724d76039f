"""House rules of the world: no wall clock, no unseeded chance, no sockets, no Postfix."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sim
from sim.trace import KINDS

ROOT = Path(sim.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

#: Modules that nothing here may import, and who may nevertheless.
FORBIDDEN = {
    "asyncio": (),
    "multiprocessing": (),
    "random": ("chance.py",),
    "secrets": (),
    "select": (),
    "selectors": (),
    "socket": (),
    "subprocess": (),
    "tempfile": (),
    "threading": (),
    "time": (),
    "uuid": (),
    "postlab": (),
    "reports": (),
}

#: The only modules of the mail system that the world may know.
KNOWN_OF_MTA = ("mta.system", "mta.wire")

#: Calls that look at the real machine.
CALLS = {"now", "today", "utcnow", "urandom", "getpid", "environ", "system", "popen", "id", "hash"}

#: Who meets the real machine on purpose.
LIVE = {"live.py"}


def imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_keeps_the_rules(path: Path) -> None:
    if path.name in LIVE:
        pytest.skip("it meets the real machine on purpose")
    tree = ast.parse(path.read_text())
    for module in imports(tree):
        top = module.partition(".")[0]
        assert path.name in FORBIDDEN.get(top, (path.name,)), f"imports {module}"
        assert top != "mta" or module.startswith(KNOWN_OF_MTA), f"imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            whole = f"{node.value.id}.{node.attr}"
            assert not (node.value.id in ("os", "datetime", "date") and node.attr in CALLS), whole
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("id", "hash"), f"line {node.lineno}: {node.func.id}()"
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Set | ast.SetComp):
            raise AssertionError(f"line {node.lineno}: iterates a set")


def traced(tree: ast.AST) -> list[tuple[str, int]]:
    """The kind and the number of facts of each event that a module adds to a trace."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "add" and ast.unparse(node.func.value).endswith("trace"):
                kind = node.args[1]
                assert isinstance(kind, ast.Constant)
                found.append((kind.value, len(node.args) - 2))
    return found


def test_events_of_the_trace_have_the_facts_of_their_kind() -> None:
    found = [each for path in MODULES for each in traced(ast.parse(path.read_text()))]
    assert len(found) > 10
    for kind, facts in found:
        assert len(KINDS[kind]) == facts, kind

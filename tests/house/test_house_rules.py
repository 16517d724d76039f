"""The house rules: who may import whom, no clocks, no chance, no forgotten waits."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house import rules
from tests.house.source import PACKAGES, Module, modules


def _planted(code: str) -> Module:
    return Module("planted", Path("planted.py"), ast.parse(code))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_floor_imports_a_floor_above(package: str) -> None:
    broken = [text for m in modules(package) for text in rules.floor_breaks(package, m)]
    assert not broken


@pytest.mark.parametrize("package", ["mta", "sim"])
def test_no_simulated_floor_imports_clocks_chance_or_the_real_machine(package: str) -> None:
    broken = [text for m in modules(package) for text in rules.forbidden_imports(package, m)]
    assert not broken


@pytest.mark.parametrize("package", ["mta", "sim"])
def test_no_simulated_floor_reads_a_clock_or_draws_unseeded_chance(package: str) -> None:
    assert not [text for m in modules(package) for text in rules.clock_reads(m)]


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_iterates_a_set_or_orders_by_identity(package: str) -> None:
    assert not [text for m in modules(package) for text in rules.set_iterations(m)]


def test_no_wait_function_is_called_bare() -> None:
    everything = modules("mta") + modules("sim")
    waiting, others = rules.wait_functions(everything)
    names = waiting - others
    assert not [text for m in everything for text in rules.bare_waits(m, names)]


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("floor", "import sim.world"),
        ("forbidden", "import time"),
        ("forbidden", "from random import choice"),
        ("clock", "x = datetime.now()"),
        ("clock", "os.environ['A']"),
        ("clock", "r = random.Random()"),
        ("set", "for x in {1, 2}: pass"),
        ("set", "[x for x in set(names)]"),
        ("set", "sorted(names, key=id)"),
        ("wait", "deliver(request)"),
        ("wait", "if not process.deliver(request): pass"),
    ],
)
def test_a_planted_break_of_a_rule_is_found(rule: str, code: str) -> None:
    module = _planted(code)
    found = {
        "floor": lambda: rules.floor_breaks("mta", module),
        "forbidden": lambda: rules.forbidden_imports("mta", module),
        "clock": lambda: rules.clock_reads(module),
        "set": lambda: rules.set_iterations(module),
        "wait": lambda: rules.bare_waits(module, {"deliver"}),
    }[rule]
    assert list(found())


@pytest.mark.parametrize("package", PACKAGES)
def test_files_stay_under_600_lines(package: str) -> None:
    tables = {"params.py", "loads.py", "main_params.py"}
    long = [
        f"{m.path.name}: {lines}"
        for m in modules(package)
        if (lines := len(m.path.read_text(encoding="utf-8").splitlines())) > 600
        and m.path.name not in tables
    ]
    assert not long


@pytest.mark.parametrize("package", PACKAGES)
def test_everything_public_has_a_docstring(package: str) -> None:
    missing = []
    for module in modules(package):
        if not ast.get_docstring(module.tree):
            missing.append(f"{module.name}: module")
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    missing.append(f"{module.name}.{node.name}")
    assert not missing

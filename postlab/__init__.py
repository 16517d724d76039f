"""Postlab: a laboratory for mail servers.

The face of the project: the Python API (:class:`Lab`), scenario files, the runner, the comparison
of outcomes, the pytest plugin and the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from postlab.lab import Lab, World
    from postlab.run import Run, run_file, run_scenario
    from postlab.scenario import Scenario, ScenarioError, load

#: Where each public name lives; they are imported when they are first asked for, since the command
#: line must start quickly.
_HOMES = {
    "Lab": "postlab.lab",
    "World": "postlab.lab",
    "Run": "postlab.run",
    "run_file": "postlab.run",
    "run_scenario": "postlab.run",
    "Scenario": "postlab.scenario",
    "ScenarioError": "postlab.scenario",
    "load": "postlab.scenario",
}

__all__ = [
    "Lab",
    "Run",
    "Scenario",
    "ScenarioError",
    "World",
    "__version__",
    "load",
    "run_file",
    "run_scenario",
]


def __getattr__(name: str) -> Any:
    """Imports a public name on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'postlab' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value

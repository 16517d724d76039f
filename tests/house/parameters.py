"""Which parameters the code reads, and which ones a manual page at the top of a module tells."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from mta.conf.conf import LMTP_NAMES, PARAMETERS
from mta.conf.services import TIME_LIMIT, TRANSPORT_PARAMETERS
from mta.util.mac_expand import scan_names
from tests.house.source import Module, imports, modules

HEADING = "CONFIGURATION PARAMETERS"

_ATTRIBUTES = {parameter.attribute: name for name, parameter in PARAMETERS.items()}
#: Attributes of Conf that are worked out of parameters.
_COMPUTED = {
    "compat_level": "compatibility_level",
    "own_addresses": "inet_interfaces",
    "own_interfaces": "inet_interfaces",
    "protocols": "inet_protocols",
    "proxy_addresses": "proxy_interfaces",
}
#: Methods of Conf whose first argument is a parameter's name.
_BY_NAME = {"raw", "get", "lookup", "lookup_eval", "is_set"}
#: What callers put into the holes of the names that libraries make (``f"{prefix}_tls_{name}"``).
_HOLES = {"prefix": ("smtpd", "tlsproxy")}
#: Packages whose modules have little to do with each other.
_LOOSE = ("mta", "mta.lib", "mta.daemons", "mta.commands")
#: Modules that name parameters and read none.
_NOT_READING = {"mta.conf.params", "mta.conf.loads", "mta.conf.later", "mta.conf.unused"}
#: The defaults of these are lists of all that might be a table.
_LISTS = {"proxy_read_maps", "proxy_write_maps"}

_NAME = re.compile(r"\w+")
_SECTION = re.compile(rf"^{HEADING}(.*?)(?=^[A-Z][A-Z ]+$|\Z)", re.M | re.S)
_WORD = re.compile(r"[\w<>*]+(?:\.[\w.]+)?")
_SNAKE = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")


class Facts(NamedTuple):
    """What one module says of parameters."""

    read: set[str]  #: by their names
    constants: set[str]  #: short texts that may be names, or parts of them
    templates: tuple[ast.JoinedStr, ...]
    dynamic: bool  #: whether it reads parameters whose names it works out


class Documented(NamedTuple):
    """What a manual page tells."""

    names: set[str]
    strange: set[str]  #: words that look like parameters and are none


# -- what is told ----------------------------------------------------------------------------------


def pages() -> tuple[Module, ...]:
    """The modules that tell their parameters."""
    return tuple(m for m in modules("mta") if HEADING in (ast.get_docstring(m.tree) or ""))


@cache
def documented(module: Module) -> Documented:
    """The parameters in the section of a module's docstring."""
    sections = _SECTION.findall(ast.get_docstring(module.tree) or "")
    words = {word.rstrip(".") for section in sections for word in _WORD.findall(section)}
    names = {word for word in words if word in PARAMETERS}
    return Documented(names, {word for word in words if _SNAKE.fullmatch(word)} - names)


def spoken_for(page: Module) -> tuple[Module, ...]:
    """The modules that a manual page speaks for: its package, or the module with its helpers."""
    parent, _, name = page.name.rpartition(".")
    if parent not in _LOOSE:
        return _package(parent)
    own = (page.name, f"mta.{name}") if parent == "mta.daemons" else (page.name,)
    return tuple(
        m
        for m in modules("mta")
        if m.name.startswith(f"{page.name}_")
        or any(m.name == root or m.name.startswith(f"{root}.") for root in own)
    )


@cache
def _package(name: str) -> tuple[Module, ...]:
    """The modules of a package, its ``__init__`` among them, without packages below it."""
    return tuple(m for m in modules("mta") if name in (m.name, m.name.rpartition(".")[0]))


# -- what is read ----------------------------------------------------------------------------------


def reads(package: Iterable[Module]) -> set[str]:
    """The parameters that the modules of a package read."""
    facts = [_facts(module) for module in package if module.name not in _NOT_READING]
    found = {name for fact in facts for name in fact.read}
    if any(fact.dynamic for fact in facts):
        constants = {name for fact in facts for name in fact.constants}
        found |= constants
        for template in (t for fact in facts for t in fact.templates):
            found.update(_filled(template, constants))
    return found & set(PARAMETERS)


def read_by_libraries(package: Iterable[Module]) -> set[str]:
    """The parameters that are read by what the modules of a package import."""
    found: set[str] = set()
    for unit in {_unit(other): None for module in package for other in _libraries(module)}:
        found |= _unit_reads(unit)
    return found


def read_anywhere() -> set[str]:
    """The parameters that are read in mta/, also by other names or through other parameters."""
    found = {name for unit in map(_unit, modules("mta")) for name in _unit_reads(unit)}
    found |= {other for name in found if isinstance(other := LMTP_NAMES.get(name), str)}
    return found | of_services() | referred_to(found)


def of_services() -> set[str]:
    """The parameters of services: what all have in common, and those of local(8)."""
    suffixes = (*TRANSPORT_PARAMETERS, *TIME_LIMIT)
    local = {name for name in PARAMETERS if name.startswith("local_") and name.endswith(suffixes)}
    return local | {*TRANSPORT_PARAMETERS.values(), *TIME_LIMIT.values()}


def referred_to(names: Iterable[str]) -> set[str]:
    """The parameters that the defaults of others refer to."""
    found: set[str] = set()
    for name in names:
        if name not in _LISTS:
            found.update(scan_names(PARAMETERS[name].default)[0])
    return found & set(PARAMETERS)


def _unit(module: Module) -> str:
    """The package whose modules work together, or the module where they do not."""
    parent = module.name.rpartition(".")[0]
    return module.name if parent in _LOOSE else parent


@cache
def _unit_reads(unit: str) -> set[str]:
    return reads(m for m in modules("mta") if _unit(m) == unit)


@cache
def _libraries(module: Module) -> tuple[Module, ...]:
    """All modules of mta/ that a module imports, and those that they import in turn."""
    by_name = {m.name: m for m in modules("mta")}
    found: dict[str, Module] = {}
    todo = [module]
    while todo:
        for _, name in imports(todo.pop().tree):
            if name in by_name and name not in found:
                found[name] = by_name[name]
                todo.append(by_name[name])
    return tuple(found.values())


@cache
def _facts(module: Module) -> Facts:
    read: set[str] = set()
    constants: set[str] = set()
    templates: list[ast.JoinedStr] = []
    dynamic = False
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and _is_conf(node.value, module):
            read.add(_ATTRIBUTES.get(node.attr) or _COMPUTED.get(node.attr, ""))
        elif isinstance(node, ast.Call) and (name := _named(node)) is not None:
            if isinstance(name, ast.Constant):
                read.add(str(name.value))
            else:
                dynamic = True
        elif isinstance(node, ast.JoinedStr):
            templates.append(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _NAME.fullmatch(node.value):
                constants.add(node.value)
    return Facts(read, constants, tuple(templates), dynamic)


def _is_conf(node: ast.expr, module: Module) -> bool:
    """Whether an expression is the view of a process (``conf``, ``process.conf``)."""
    if isinstance(node, ast.Name):
        return node.id == "conf" or (node.id == "self" and module.name == "mta.conf.conf")
    return isinstance(node, ast.Attribute) and node.attr == "conf"


def _named(call: ast.Call) -> ast.expr | None:
    """The name of the parameter in ``getattr(conf, name)`` and the methods of Conf."""
    function = call.func
    if isinstance(function, ast.Name) and function.id == "getattr" and len(call.args) > 1:
        return call.args[1] if "conf" in ast.unparse(call.args[0]) else None
    if isinstance(function, ast.Attribute) and function.attr in _BY_NAME and call.args:
        return call.args[0] if "conf" in ast.unparse(function.value) else None
    return None


def _filled(template: ast.JoinedStr, constants: set[str]) -> Iterator[str]:
    """The parameters that an f-string can name, with the constants of its package in the holes."""
    holes, matches = _matches(template)
    for name, words in matches:
        if all(
            word in _HOLES.get(hole, constants) for word, hole in zip(words, holes, strict=True)
        ):
            yield name


@cache
def _matches(
    template: ast.JoinedStr,
) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
    """The holes of an f-string, and the parameters of its form with what would be in the holes."""
    pattern = ""
    holes: list[str] = []
    for value in template.values:
        if isinstance(value, ast.FormattedValue):
            pattern += r"(\w+)"
            holes.append(ast.unparse(value.value))
        elif isinstance(value, ast.Constant):
            if not _NAME.fullmatch(str(value.value)):  # a text for people
                return (), ()
            pattern += str(value.value)
    found = ((name, re.fullmatch(pattern, name)) for name in PARAMETERS)
    return tuple(holes), tuple((name, match.groups()) for name, match in found if match)

"""Scenario files, format 1: read, checked, and every problem told with its place."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from postlab.document import Document, dotted, parse
from postlab.errors import Problem, ScenarioError
from postlab.model import Scenario
from postlab.semantics import check

__all__ = ["Problem", "Scenario", "ScenarioError", "load", "loads", "nearest"]


def load(path: str | Path) -> Scenario:
    """The scenario of a file.  Raises ScenarioError with everything that is wrong in it."""
    name = str(path)
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ScenarioError((Problem(name, line, "", "this is not UTF-8 text"),)) from error
    except OSError as error:
        said = error.strerror or str(error)
        raise ScenarioError((Problem(name, 0, "", f"cannot read it: {said}"),)) from error
    return loads(text, name)


def loads(text: str, name: str = "<text>") -> Scenario:
    """The scenario of a text; ``name`` stands for the file in messages.  Raises ScenarioError."""
    document = parse(text, name)
    problems: list[Problem] = []
    scenario: Scenario | None = None
    if not isinstance(document.data, dict):
        problems.append(Problem(name, 1, "", "must be a mapping: keys with values"))
    else:
        try:
            scenario = Scenario.model_validate(document.data)
        except ValidationError as error:
            problems += [_problem(document, item) for item in error.errors(include_url=False)]
        problems += check(document, scenario)
    if problems or scenario is None:
        raise ScenarioError(tuple(sorted(problems, key=lambda p: p.line)))
    return scenario


PartT = typing.TypeVar("PartT", bound=BaseModel)


def checked(kind: type[PartT], data: Mapping[str, Any], name: str) -> PartT:
    """A part of a scenario, of plain data.  Raises ScenarioError."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        problems = tuple(_problem_of(name, item, kind) for item in error.errors(include_url=False))
        raise ScenarioError(problems) from None


def from_data(data: dict[str, Any], name: str = "<python>") -> Scenario:
    """The scenario of plain data, for those who build it in Python.  Raises ScenarioError."""
    scenario = checked(Scenario, data, name)
    problems = check(None, scenario, name)
    if problems:
        raise ScenarioError(tuple(problems))
    return scenario


_WORDS = {
    "missing": "this key is missing",
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must be a mapping: keys with values",
    "model_type": "must be a mapping: keys with values",
    "model_attributes_type": "must be a mapping: keys with values",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def _path(item: Any) -> tuple[str | int, ...]:
    """The path of an error of pydantic without the names of its own that it puts there."""
    return tuple(
        step
        for step in item["loc"]
        if not (isinstance(step, str) and (step.startswith("<") or step == "[key]"))
    )


def _message(item: Any, path: tuple[str | int, ...], whole: type[BaseModel] = Scenario) -> str:
    kind, facts = item["type"], item.get("ctx") or {}
    if kind in _WORDS:
        return _WORDS[kind]
    if kind == "extra_forbidden":
        return f"unknown key {path[-1]!r}{nearest(str(path[-1]), known_keys(path[:-1], whole))}"
    if kind == "literal_error":
        return f"must be {facts['expected']}"
    if kind == "value_error":
        return str(facts["error"])
    if kind == "greater_than_equal":
        return f"must be at least {facts['ge']}"
    if kind == "less_than_equal":
        return f"must be at most {facts['le']}"
    return str(item["msg"])


def _problem(document: Document, item: Any) -> Problem:
    path = _path(item)
    place = path[:-1] if item["type"] == "missing" else path
    return Problem(document.name, document.line(place), dotted(path), _message(item, path))


def _problem_of(name: str, item: Any, kind: type[BaseModel]) -> Problem:
    path = _path(item)
    return Problem(name, 0, dotted(path), _message(item, path, kind))


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """``; the nearest key is 'x'`` for an unknown name, or nothing where there is none."""
    near = difflib.get_close_matches(name, sorted(known), 1, 0.0)
    return f"; the nearest key is {near[0]!r}" if near else ""


def known_keys(path: tuple[str | int, ...], whole: type[BaseModel] = Scenario) -> list[str]:
    """The keys that the format knows for the mapping at a path (of the whole, or of a part)."""
    kind: Any = whole
    for step in path:
        model = _model(kind)
        if model is not None and isinstance(step, str):
            fields = {field.alias or key: field for key, field in model.model_fields.items()}
            kind = fields[step].annotation if step in fields else None
        else:
            kind = _inner(kind)
    model = _model(kind)
    return [field.alias or key for key, field in model.model_fields.items()] if model else []


def _model(kind: Any) -> type[BaseModel] | None:
    """The model in an annotation that is one, or is one or nothing."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    if typing.get_origin(kind) in (list, dict):
        return None
    for part in typing.get_args(kind):
        found = _model(part)
        if found is not None:
            return found
    return None


def _inner(kind: Any) -> Any:
    """The kind of the items of a list, or of the values of a dictionary."""
    arguments = typing.get_args(kind)
    return arguments[-1] if arguments else None

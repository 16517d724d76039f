"""YAML documents whose every part knows its line.

The YAML is 1.2 (``on``, ``yes``, ``no`` are text).  Scalars stay text as they are written, but for
an empty or ``null`` plain scalar, which is None; what is a number is for the reader to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLWarning
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from postlab.errors import Problem, ScenarioError

#: Anchors may be used again and again; a document that unfolds to more nodes than this is a joke.
MOST_NODES = 200_000
DEEPEST = 100

Path = Sequence[str | int]


class Document:
    """The data of a YAML document, and where each part of it stands."""

    def __init__(self, name: str, root: Node) -> None:
        self.name = name
        self.root = root
        self.problems: list[Problem] = []
        self._nodes = 0
        self.data: Any = self._value(root, ())
        if self.problems:
            raise ScenarioError(tuple(self.problems))

    def _value(self, node: Node, path: tuple[str | int, ...]) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES or len(path) > DEEPEST:
            raise ScenarioError((Problem(self.name, line_of(node), "", "too large or too deep"),))
        if isinstance(node, ScalarNode):
            empty = node.style is None and node.tag == "tag:yaml.org,2002:null"
            return None if empty else node.value
        if isinstance(node, SequenceNode):
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
        data: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, ScalarNode):
                self._add(key, path, "a key must be text")
            elif key.value in data:
                self._add(key, (*path, key.value), "this key stands here twice")
            else:
                data[key.value] = self._value(item, (*path, key.value))
        return data

    def _add(self, node: Node, path: Path, message: str) -> None:
        self.problems.append(Problem(self.name, line_of(node), dotted(path), message))

    def find(self, path: Path) -> tuple[Node, int]:
        """The node nearest to a path, and the line where it (or its key) stands."""
        node, line = self.root, line_of(self.root)
        for step in path:
            if isinstance(node, MappingNode):
                for key, item in node.value:
                    if key.value == step:
                        node, line = item, line_of(key)
                        break
                else:
                    break
            elif isinstance(node, SequenceNode) and isinstance(step, int):
                if step >= len(node.value):
                    break
                node = node.value[step]
                line = line_of(node)
            else:
                break
        return node, line

    def line(self, path: Path) -> int:
        """The line of a key or of a list's item, from 1."""
        return self.find(path)[1]

    def text_line(self, path: Path, offset: int) -> int:
        """The line of the file where line ``offset`` (from 0) of a text stands."""
        node, line = self.find(path)
        if isinstance(node, ScalarNode) and node.style == "|":
            return line_of(node) + 1 + offset
        return line_of(node) if isinstance(node, ScalarNode) else line

    def keys(self, path: Path) -> list[str]:
        """The keys of the mapping at a path."""
        node, _ = self.find(path)
        return [key.value for key, _ in node.value] if isinstance(node, MappingNode) else []


def line_of(node: Node) -> int:
    """The line of a node, from 1."""
    return int(node.start_mark.line) + 1


def dotted(path: Path) -> str:
    """A path as people write it: ``clients[0].say[2].pipeline``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def parse(text: str, name: str) -> Document:
    """Reads one YAML document.

    Raises ScenarioError where the text is not YAML, is empty, or has keys that are no text.
    """
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        line = int(mark.line) + 1 if mark else 0
        raise ScenarioError((Problem(name, line, "", f"this is not YAML: {said}"),)) from error
    except (YAMLError, YAMLWarning, RecursionError, ValueError) as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ScenarioError((Problem(name, line, "", f"this is not YAML: {said}"),)) from error
    if root is None:
        raise ScenarioError((Problem(name, 1, "", "the document is empty"),))
    return Document(name, root)

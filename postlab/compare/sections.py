"""Outcomes compared section by section, each as lines of text."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from postlab.compare.labels import label, label_like
from postlab.compare.placeholders import with_placeholders

#: The keys of the JSON document.
SECTIONS = ("clients", "peers", "delivered", "log", "queue", "policy", "milters", "commands")

#: Sections that are lists in any order.
_UNORDERED = ("peers", "delivered", "queue")
_BY_NAME = ("policy", "milters")

#: Services whose processes run side by side: the order of their lines means nothing.
_SIDE_BY_SIDE = re.compile(
    r"/(?:smtp|lmtp|relay|local|virtual|pipe|error|retry|discard|bounce|scache|anvil|tlsmgr"
    r"|trivial-rewrite|proxymap|verify|flush|master)$"
)
_LABEL = re.compile(r"(Q\d+): ")


@dataclass(frozen=True, slots=True)
class Section:
    """One section of two outcomes."""

    name: str
    left: list[str]
    right: list[str]

    @property
    def equal(self) -> bool:
        """Whether no line differs."""
        return self.left == self.right

    @property
    def share(self) -> float:
        """How much of the lines is common, 0 to 1, order aside."""
        total = len(self.left) + len(self.right)
        common = (Counter(self.left) & Counter(self.right)).total()
        return 2 * common / total if total else 1.0

    @property
    def weight(self) -> int:
        """How many lines there are."""
        return max(len(self.left), len(self.right))

    def difference(self, left: str = "expected", right: str = "got") -> list[str]:
        """The lines that differ, as a unified diff."""
        return list(difflib.unified_diff(self.left, self.right, left, right, lineterm="", n=2))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two outcomes side by side."""

    sections: dict[str, Section]

    @property
    def equal(self) -> bool:
        """Whether all sections are equal."""
        return all(section.equal for section in self.sections.values())

    @property
    def share(self) -> float:
        """How much of all lines is common, 0 to 1."""
        parts = self.sections.values()
        return sum(s.share * s.weight for s in parts) / max(1, sum(s.weight for s in parts))

    def different(self) -> list[Section]:
        """The sections that differ."""
        return [section for section in self.sections.values() if not section.equal]

    def text(self, left: str = "expected", right: str = "got") -> str:
        """The differences of all sections, for people."""
        lines: list[str] = []
        for section in self.different():
            lines += [f"--- {section.name}", *section.difference(left, right)]
        return "\n".join(lines)


def compare(left: Mapping[str, Any], right: Mapping[str, Any]) -> Comparison:
    """Compares two outcomes (JSON documents) after all that may differ was replaced."""
    labels = label(left)
    one = with_placeholders(left, labels)
    two = with_placeholders(right, label_like(right, left, labels))
    return Comparison(
        {name: Section(name, _lines(name, one), _lines(name, two)) for name in SECTIONS}
    )


def _lines(name: str, outcome: Mapping[str, Any]) -> list[str]:
    """A section as lines."""
    value: Any = outcome.get(name) or ({} if name in _BY_NAME else [])
    if name == "log":
        return log_lines(value)
    if name in _UNORDERED:
        value = sorted(value, key=lambda item: json.dumps(item, sort_keys=True))
    if name == "delivered":
        value = [{**item, "recipients": sorted(item.get("recipients", []))} for item in value]
    if name in _BY_NAME:
        value = {key: items for key, items in value.items() if items}
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    return text.replace("\\n", "\n    ").split("\n")


def log_lines(lines: list[str]) -> list[str]:
    """The lines of a log (with placeholders) by service and queue id, where they are in order."""
    return list(_log_lines(lines))


def _log_lines(lines: list[str]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        service, _, text = line.partition(": ")
        match = _LABEL.match(text)
        groups.setdefault((service, match[1] if match else ""), []).append(text)
    for (service, _), texts in sorted(groups.items()):
        if _SIDE_BY_SIDE.search(service):
            texts.sort()
        for text in texts:
            yield f"{service}: {text}"

"""What a check finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

#: An error keeps mail from working as it is meant, or from working at all; a warning is probably a
#: mistake; a note is good to know, and no problem.
_ORDER = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing."""

    file: str  #: as the user knows it
    line: int  #: 1 is the first; 0 where there is none to show
    severity: str  #: error, warning or note
    rule: str  #: which check it was: ``unknown-parameter``, ``shadowed-entry``, …
    name: str  #: the parameter, service or table
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.severity}: {self.message} [{self.rule}]"


@dataclass
class Findings:
    """All that was found in a folder."""

    folder: str
    found: list[Finding] = field(default_factory=list)
    _known: set[tuple[str, int, str]] = field(default_factory=set, repr=False)

    def add(
        self,
        severity: str,
        rule: str,
        message: str,
        *,
        file: str = "",
        line: int = 0,
        name: str = "",
    ) -> None:
        """One more, unless it is known already."""
        finding = Finding(file or self.folder, line, severity, rule, name, message)
        key = (finding.file, line, message)
        if key not in self._known:
            self._known.add(key)
            self.found.append(finding)

    @property
    def problems(self) -> list[Finding]:
        """Without the notes."""
        return [finding for finding in self.found if finding.severity != "note"]

    def ordered(self) -> list[Finding]:
        """By file and line, the most serious first at one place."""
        return sorted(self.found, key=lambda f: (f.file, f.line, _ORDER[f.severity]))

    def as_data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "folder": self.folder,
            "errors": _count(self.found, "error"),
            "warnings": _count(self.found, "warning"),
            "notes": _count(self.found, "note"),
            "findings": [asdict(finding) for finding in self.ordered()],
        }


def _count(found: Iterable[Finding], severity: str) -> int:
    return sum(finding.severity == severity for finding in found)

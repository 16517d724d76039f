"""What can be wrong with the input that people give, told with the place where it stands."""

from __future__ import annotations

from typing import NamedTuple

#: A problem is told in one line, whatever is in it.
_CONTROLS = {
    number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160), 0x2028, 0x2029)
} | {9: "\\t", 10: "\\n", 13: "\\r"}


class Problem(NamedTuple):
    """One thing that is wrong in a scenario file."""

    file: str  #: the path as the user gave it
    line: int  #: 1 is the first line; 0 where there is no line to show
    key: str  #: the key that it belongs to, e.g. ``clients[0].from``; ``""`` for the document
    message: str  #: what is wrong, and what would be right

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        said = f"{self.key}: {self.message}" if self.key else self.message
        return f"{place}: {said.translate(_CONTROLS)}"


class ScenarioError(Exception):
    """A scenario file that does not follow format 1.  ``args[0]`` is the tuple of all problems."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, in the order of the file."""
        found: tuple[Problem, ...] = self.args[0]
        return found

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class Unsupported(Exception):
    """A scenario that is right, but asks for what this version cannot do yet.  ``args[0]`` says
    what that is.
    """


class RunError(Exception):
    """A run that did not come to an end: a defect of Postlab, or a world without end."""


class NotStarted(RunError):
    """The mail system does not start.  ``args[0]`` says so, with what its log says."""

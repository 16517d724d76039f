"""What can be wrong with a configuration."""

from __future__ import annotations


class ConfError(Exception):
    """A configuration that a program cannot run with.

    ``args[0]`` is the text that Postfix logs after ``fatal: ``.  A process that meets it logs that
    and ends.
    """

    @property
    def text(self) -> str:
        """The text after ``fatal: ``."""
        return str(self.args[0])


class ConfPanic(ConfError):
    """As ConfError, but Postfix logs ``panic: `` before the text and aborts."""

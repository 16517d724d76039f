"""string_list(3) - match a string against a list: literal strings, files, tables."""

from __future__ import annotations

from mta.dict.process import TableProcess
from mta.system import Wait
from mta.util.match_list import Matcher, MatchList
from mta.util.match_ops import match_string, search_exact

_STRING = (Matcher(match_string, search_exact),)


class StringList(MatchList):
    """A list such as ``mydestination`` or ``masquerade_exceptions``."""

    __slots__ = ()

    def __init__(
        self, process: TableProcess, name: str, patterns: str, *, fatal: bool = False
    ) -> None:
        super().__init__(process, name, patterns, _STRING, fatal=fatal)

    def match(self, text: str) -> Wait[bool]:
        """Whether the string is in the list.  Raises TableError."""
        return self.match_all(text)

"""Addresses that tables of patterns turn into others (``/^(.*)=(.*)@own$/  $1@$2``).

Where the result of a pattern takes its domain from what the pattern matched, the stranger chooses
where the mail goes.  An address that does so is built from the pattern, group by group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

#: ``/pattern/flags  result``; what ``if`` and ``!`` say is not looked at.
_RULE = re.compile(r"^/(?P<pattern>(?:\\.|[^/\\])+)/(?P<flags>[a-zA-Z]*)\s+(?P<result>\S.*)$")
_GROUP = r"\$(?:(\d)|\{(\d)\}|\((\d)\))"
_ADDRESS = re.compile(rf"(?P<user>[^\s,@]+)@(?P<domain>{_GROUP})(?=[\s,]|$)")
_USER_GROUP = re.compile(rf"{_GROUP}")
_REPEAT = re.compile(r"[*+?]+|\{(?P<fewest>\d*)(?:,(?P<most>\d*))?\}[?+]?")
#: What stands for one character of a class; the first that fits.
_CHARACTERS = "x1-_."
_CLASSES = {"w": "x", "d": "1", "s": " ", "S": "x", "D": "x", "W": "-"}


def hidden_ways(text: str, user: str, domain: str) -> Iterator[tuple[str, str]]:
    """Addresses that the rules of a table turn into ``user@domain``, and their patterns."""
    for line in text.splitlines():
        rule = _RULE.match(line)
        if rule is None:
            continue
        for target in _ADDRESS.finditer(rule["result"]):
            groups = {_number(target.group(3, 4, 5)): domain}
            for found in _USER_GROUP.finditer(target["user"]):
                groups.setdefault(_number(found.groups()), user)
            address = sample(rule["pattern"], groups)
            if address is not None and "@" in address:
                yield address, rule["pattern"]


def _number(groups: tuple[str | None, ...]) -> int:
    return int(next(text for text in groups if text))


def sample(pattern: str, groups: Mapping[int, str]) -> str | None:
    """A text that a pattern matches, with texts for some of its groups; None where none is found.

    Only the first of several alternatives is tried, and repeated things come once.
    """
    text = _Sampler(pattern, groups).text()
    try:
        return text if re.search(pattern, text, re.IGNORECASE) else None
    except re.error:
        return None


class _Sampler:
    """Reads a pattern from the left."""

    def __init__(self, pattern: str, groups: Mapping[int, str]) -> None:
        self.pattern = pattern
        self.groups = groups
        self.at = 0
        self.count = 0

    def text(self) -> str:
        """The text for all of it."""
        return self._alternatives()

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _alternatives(self) -> str:
        """Up to the end, or to the parenthesis that closes; the first alternative."""
        first = self._sequence()
        while self._peek() == "|":
            self.at += 1
            self._sequence()
        return first

    def _sequence(self) -> str:
        out: list[str] = []
        while self._peek() not in ("", "|", ")"):
            piece = self._piece()
            out.append(piece * self._times())
        return "".join(out)

    def _times(self) -> int:
        """Reads how often a piece has to come; at least once where that can be."""
        found = _REPEAT.match(self.pattern, self.at)
        if found is None:
            return 1
        self.at = found.end()
        fewest = int(found["fewest"] or 1)
        return fewest or int(found["most"] is not None and found["most"] != "0")

    def _piece(self) -> str:
        char = self._peek()
        self.at += 1
        if char in "^$":
            return ""
        if char == ".":
            return "x"
        if char == "\\":
            escaped = self._peek()
            self.at += 1
            return _CLASSES.get(escaped, "" if escaped in "bBAzZ" else escaped)
        if char == "[":
            return self._class()
        if char == "(":
            return self._group()
        return char

    def _class(self) -> str:
        end = self.pattern.find("]", self.at + (2 if self._peek() == "^" else 1))
        if end < 0:
            self.at = len(self.pattern)
            return ""
        body = self.pattern[self.at : end]
        self.at = end + 1
        for char in _CHARACTERS + body.lstrip("^")[:1]:
            try:
                if re.match(f"[{body}]", char):
                    return char
            except re.error:
                break
        return ""

    def _group(self) -> str:
        number = 0
        silent = re.compile(r"\?(?:[a-z]*:|[=!<])").match(self.pattern, self.at)
        if silent is not None:
            self.at = silent.end()
        else:
            self.count += 1
            number = self.count
        inner = self._alternatives()
        if self._peek() == ")":
            self.at += 1
        if silent is not None and not silent[0].endswith(":"):
            return ""
        return self.groups.get(number, inner)

"""been_here(3) - detects repeated strings, such as recipients, without regard to case."""

from __future__ import annotations

from mta.util.casefold import casefold


class BeenHere:
    """Remembers strings.  At most ``limit`` of them (0: no limit); with ``utf8`` off
    (``smtputf8_enable``) only A-Z are folded.
    """

    __slots__ = ("limit", "seen", "utf8")

    def __init__(self, limit: int = 0, utf8: bool = True) -> None:
        self.limit = limit
        self.utf8 = utf8
        self.seen: dict[str, None] = {}

    def add(self, text: str) -> bool:
        """Whether the string was there before; remembers it (been_here_fixed)."""
        key = text.lower() if text.isascii() else casefold(text, self.utf8)
        if key in self.seen:
            return True
        if self.limit <= 0 or self.limit > len(self.seen):
            self.seen[key] = None
        return False

    def __contains__(self, text: str) -> bool:
        """Whether the string was there before (been_here_check_fixed)."""
        return casefold(text, self.utf8) in self.seen

"""Patterns for services: ``type``, or ``name/type``, with ``!`` (match_service(3)).

Releases before 2.11 had ``name.type``, which still does.
"""

from __future__ import annotations

from mta.util.scalars import split_at_commas


class ServicePatterns:
    """A list of patterns, as ``master_service_disable`` has; the first that matches decides."""

    __slots__ = ("patterns",)

    def __init__(self, patterns: str) -> None:
        self.patterns = [_with_slash(pattern) for pattern in split_at_commas(patterns)]

    def matches(self, name: str, type: str) -> bool:
        """Whether a service is meant."""
        for pattern in self.patterns:
            word = pattern.lstrip("!")
            subject = f"{name}/{type}" if "/" in word else type
            if subject.lower() == word.lower():
                return (len(pattern) - len(word)) % 2 == 0
        return False


def _with_slash(pattern: str) -> str:
    """A pattern in today's form."""
    if "/" in pattern or "." not in pattern:
        return pattern
    name, _, type = pattern.rpartition(".")
    return f"{name}/{type}"

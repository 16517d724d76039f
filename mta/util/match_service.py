"""Patterns for services: ``type``, or ``name/type``, with ``!`` (match_service(3))."""

from __future__ import annotations

from mta.util.scalars import split_at_commas


class ServicePatterns:
    """A list of patterns, as ``master_service_disable`` has; the first that matches decides."""

    __slots__ = ("patterns",)

    def __init__(self, patterns: str) -> None:
        self.patterns = split_at_commas(patterns)

    def matches(self, name: str, type: str) -> bool:
        """Whether a service is meant."""
        for pattern in self.patterns:
            word = pattern.lstrip("!")
            subject = f"{name}/{type}" if "/" in word else type
            if subject.lower() == word.lower():
                return (len(pattern) - len(word)) % 2 == 0
        return False

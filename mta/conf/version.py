"""The version of Postfix that is re-implemented (mail_version.h)."""

from __future__ import annotations

from typing import NamedTuple

from mta.util.scalars import parse_int

mail_version = "3.0.15"
mail_release_date = "20190226"


class MailVersion(NamedTuple):
    """The parts of ``program-major.minor.patch`` or ``program-major.minor-snapshot``.

    ``patch`` is None for a snapshot, ``snapshot`` empty for a release.
    """

    program: str
    major: int
    minor: int
    patch: int | None
    snapshot: str


def parse_mail_version(text: str) -> MailVersion:
    """Takes a version apart.  Raises ValueError with what is wrong."""
    program, _, rest = text.strip("-").partition("-")
    if not program:
        raise ValueError("no program name")
    version, _, tail = rest.lstrip("-").partition("-")
    if not version:
        raise ValueError("missing major version")
    first, dot, second = version.partition(".")
    if not dot:
        raise ValueError("missing minor version")
    second, dot, third = second.partition(".")
    major = _number(first, "bad major version")
    minor = _number(second, "bad minor version")
    if dot:
        return MailVersion(program, major, minor, _number(third, "bad patchlevel"), "")
    if not tail:
        raise ValueError("missing snapshot field")
    return MailVersion(program, major, minor, None, tail)


def _number(text: str, complaint: str) -> int:
    number = parse_int(text)
    if number is None or number < 0:
        raise ValueError(complaint)
    return number

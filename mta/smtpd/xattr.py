"""What XCLIENT and XFORWARD have in common: ``attribute=value`` words."""

from __future__ import annotations

from mta.smtpd.state import Session
from mta.smtpd.token import Token
from mta.util.scalars import all_digits
from mta.wire.quote import xtext_unquote
from mta.wire.text import printable, to_bytes

UNAVAILABLE = "[UNAVAILABLE]"
TEMPORARY = "[TEMPUNAVAIL]"
_MAX_VALUE = 255


class Refused(Exception):
    """A command is refused; ``args[0]`` is the reply."""


def attributes(session: Session, words: list[Token]) -> list[tuple[str, str, str | None]]:
    """The attributes in order: the name as written, the decoded value, and what is wrong with it.
    What is wrong is not raised at once, since what comes before it takes effect.
    """
    found: list[tuple[str, str, str | None]] = []
    for word in words:
        name, equals, raw = word.text.partition("=")
        error = None
        value = ""
        if not equals or not raw:
            error = "501 5.5.4 Error: attribute=value expected"
        elif len(to_bytes(raw)) > _MAX_VALUE:
            error = "501 5.5.4 Error: attribute value too long"
        else:
            plain = xtext_unquote(raw)
            value = printable(
                raw if plain is None else plain, "?", session.process.conf.smtputf8_enable
            )
        found.append((name, value, error))
    return found


def bad_syntax(attribute: str, value: str) -> Refused:
    """A value that is none."""
    return Refused(f"501 5.5.4 Bad {attribute} syntax: {value}")


def unavailable(value: str) -> bool:
    """Whether the other side does not know."""
    return value.upper() == UNAVAILABLE


def port_of(value: str, attribute: str) -> str:
    """A port number.  Raises Refused."""
    if not all_digits(value) or len(value) > 5:
        raise bad_syntax(attribute, value)
    return value

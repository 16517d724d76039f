"""header_body_checks(3): the actions of header_checks and body_checks.

Two users.  Delivery agents (smtp_header_checks, …) and cleanup's milter_header_checks use
:class:`HeaderChecks` and :class:`BodyChecks`, which carry out what is safe at delivery: INFO, WARN,
REPLACE, PREPEND, IGNORE (STRIP came after 3.0), DUNNO, OK; other actions by an extension.
cleanup(8) itself has all actions; :func:`cleanup_action` says which one a table's result asks for.

Headers and lines are text (see :mod:`mta.wire.text`); lookups may block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from mta.lib.cleanup_strerror import cleanup_stat_detail
from mta.lib.requests import CLEANUP_STAT_CONT
from mta.system import Wait
from mta.wire.dsn import dsn_prepend
from mta.wire.header_opts import HDR_OPT_MIME, HeaderOpts, is_header
from mta.wire.mime_state import MIME_HDR_MULTIPART, MIME_HDR_NESTED, MIME_HDR_PRIMARY
from mta.wire.text import c_string, to_bytes, to_text

HBC_CTXT_HEADER = "header"
HBC_CTXT_BODY = "body"

_SPACES = " \t\n\v\f\r"
Warn = Callable[[str], None]


class Lookup(Protocol):
    """A list of tables, as :class:`mta.lib.maps.Maps`."""

    title: str

    def find(self, key: str) -> Wait[str | None]:
        """The result for a key, or None.  Raises TableError."""


class CheckAction(NamedTuple):
    """An action in upper case and its optional text, without the white space before it."""

    verb: str
    text: str


def split_action(value: str) -> CheckAction:
    """A table's result as action and text; the action ends at the first blank or tab."""
    size = min((at for at in (value.find(" "), value.find("\t")) if at >= 0), default=len(value))
    return CheckAction(value[:size].upper(), value[size:].lstrip(_SPACES))


_DUNNO = CheckAction("DUNNO", "")


def _text_problem(verb: str, text: str, where: str, map_class: str) -> str | None:
    """What is wrong with the text of PREPEND or REPLACE."""
    if not text:
        return f"{verb} action without text in {map_class} map"
    if where == HBC_CTXT_HEADER and not is_header(text):
        return (
            f'bad {verb} header text "{text}" in {map_class} map -- need "headername: headervalue"'
        )
    return None


# -- cleanup(8) -----------------------------------------------------------------------------------

#: What cleanup(8) knows; those without a rule need no text.
_CLEANUP_VERBS = frozenset(
    [
        "REJECT",
        "WARN",
        "INFO",
        "FILTER",
        "DISCARD",
        "HOLD",
        "PREPEND",
        "REPLACE",
        "REDIRECT",
        "BCC",
        "IGNORE",
        "DUNNO",
        "OK",
    ]
)


def reject_reason(text: str, warn: Warn) -> str:
    """The reason of a REJECT: enhanced status code and text, as the client gets to see them."""
    detail = cleanup_stat_detail(CLEANUP_STAT_CONT)
    if not text:
        return dsn_prepend(detail.dsn, detail.text)
    reason = dsn_prepend(detail.dsn, text)
    if reason[0] not in "45":
        warn(f"bad DSN action in {text} -- need 4.x.x or 5.x.x")
        reason = "4" + reason[1:]
    return reason


def cleanup_action(value: str, where: str, map_class: str, warn: Warn) -> CheckAction:
    """The action that cleanup(8) is to carry out for a table's result.

    ``where`` is ``header`` or ``body``, ``map_class`` the parameter's name.  The text of REJECT is
    the complete reason.  A result that makes no sense is warned of, and the action is DUNNO (as it
    is for OK).
    """
    verb, text = action = split_action(value)
    if verb not in _CLEANUP_VERBS:
        warn(f"unknown command in {map_class} map: {value}")
        return _DUNNO
    problem: str | None = None
    if verb == "REJECT":
        return CheckAction(verb, reject_reason(text, warn))
    if verb == "FILTER":
        if not text:
            problem = f"missing FILTER command argument in {map_class} map"
        elif ":" not in text:
            problem = f"bad FILTER command {text} in {map_class} -- need transport:destination"
    elif verb in ("PREPEND", "REPLACE"):
        problem = _text_problem(verb, text, where, map_class)
    elif verb == "REDIRECT" and "@" not in text:
        problem = f'bad REDIRECT target "{text}" in {map_class} map -- need user@domain'
    elif verb == "BCC" and "@" not in text:
        problem = f'bad BCC address "{text}" in {map_class} map -- need user@domain'
    elif verb == "OK":
        return _DUNNO
    if problem is not None:
        warn(problem)
        return _DUNNO
    return action


# -- delivery agents ------------------------------------------------------------------------------


class Unknown:
    """The type of :data:`HBC_UNKNOWN`."""


#: What an extension says of an action that it does not know either.
HBC_UNKNOWN = Unknown()


class CallBacks(Protocol):
    """What the user of the checks supplies."""

    def log(self, action: str, where: str, line: str, text: str) -> None:
        """Logs an action by its name in lower case (``warning`` for WARN), ``header`` or ``body``,
        the line that triggered it, and the optional text or ``""``.
        """

    def warn(self, text: str) -> None:
        """Logs a warning about a table."""

    def prepend(self, text: str, offset: int) -> None:
        """Puts a line out before the one that is being looked at."""

    def extend(
        self, action: CheckAction, where: str, line: str, offset: int
    ) -> Wait[str | Unknown | None]:
        """Carries out (and logs) other actions: the line, None to drop it, or HBC_UNKNOWN."""


class _Checks:
    """Carries out the result of a lookup."""

    __slots__ = ("calls", "can_extend", "can_prepend")

    def __init__(self, calls: CallBacks, can_prepend: bool, can_extend: bool) -> None:
        self.calls = calls
        self.can_prepend = can_prepend
        self.can_extend = can_extend

    def act(
        self, value: str, map_class: str, where: str, line: str, offset: int
    ) -> Wait[str | None]:
        calls = self.calls
        action = split_action(value)
        verb, text = action
        if self.can_extend:
            result = yield from calls.extend(action, where, line, offset)
            if not isinstance(result, Unknown):
                return result
        if verb == "WARN":
            calls.log("warning", where, line, text)
        elif verb == "INFO":
            calls.log("info", where, line, text)
        elif verb == "REPLACE" or (verb == "PREPEND" and self.can_prepend):
            problem = _text_problem(verb, text, where, map_class)
            if problem is not None:
                calls.warn(problem)
                return line
            calls.log(verb.lower(), where, line, text)
            if verb == "REPLACE":
                return text
            calls.prepend(text, offset)
        elif verb == "IGNORE":
            return None
        elif verb not in ("DUNNO", "OK"):
            calls.warn(f"unsupported command in {map_class} map: {value}")
        return line


class HeaderChecks(_Checks):
    """Checks of headers, by their class (hbc_header_checks)."""

    __slots__ = ("_maps",)

    def __init__(
        self,
        calls: CallBacks,
        header: Lookup | None,
        mime: Lookup | None,
        nested: Lookup | None,
        *,
        can_prepend: bool = True,
        can_extend: bool = False,
    ) -> None:
        """The tables of header_checks, mime_header_checks and nested_header_checks or their like;
        None (or an empty list) where a parameter is empty.
        """
        super().__init__(calls, can_prepend, can_extend)
        self._maps: Mapping[int, Lookup | None] = {
            MIME_HDR_PRIMARY: header or None,
            MIME_HDR_MULTIPART: mime or None,
            MIME_HDR_NESTED: nested or None,
        }

    def __bool__(self) -> bool:
        """Whether there is anything to check."""
        return any(maps is not None for maps in self._maps.values())

    def check(
        self, header_class: int, opts: HeaderOpts | None, header: str, offset: int
    ) -> Wait[str | None]:
        """The header as it is to be, None when it is to be dropped.  Raises TableError."""
        if opts is not None and opts.flags & HDR_OPT_MIME:
            header_class = MIME_HDR_MULTIPART
        maps = self._maps[header_class]
        if maps is None:
            return header
        value = yield from maps.find(header)
        if value is None:
            return header
        return (yield from self.act(value, maps.title, HBC_CTXT_HEADER, header, offset))


class BodyChecks(_Checks):
    """Checks of body lines (hbc_body_checks)."""

    __slots__ = ("_maps",)

    def __init__(
        self,
        calls: CallBacks,
        maps: Lookup,
        *,
        can_prepend: bool = True,
        can_extend: bool = False,
    ) -> None:
        super().__init__(calls, can_prepend, can_extend)
        self._maps = maps

    def check(self, line: bytes, offset: int) -> Wait[bytes | None]:
        """The line as it is to be, None when it is to be dropped.  Raises TableError.  Tables see
        a line up to a NUL; a line that nothing happens to keeps what comes after it.
        """
        text = to_text(c_string(line))
        value = yield from self._maps.find(text)
        if value is None:
            return line
        result = yield from self.act(value, self._maps.title, HBC_CTXT_BODY, text, offset)
        if result is None:
            return None
        return line if result is text else to_bytes(result)

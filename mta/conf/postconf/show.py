"""What postconf(1) prints: parameters, services, their fields and settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mta.conf.postconf.entries import FIELDS, Entry, entry_text, field_text
from mta.conf.postconf.session import Kind, Session
from mta.wire.text import to_bytes

WILDCARD = "*"


def show_parameters(session: Session, classes: Kind, names: Sequence[str]) -> None:
    """The named parameters, or all of some classes in the order of their names."""
    if not names:
        for name in sorted(session.table, key=to_bytes):
            if session.table[name].kind & classes:
                _show_parameter(session, name)
    for name in names:
        if name in session.table:
            _show_parameter(session, name)
        else:
            session.terminal.warning(f"{name}: unknown parameter")


def _show_parameter(session: Session, name: str) -> None:
    options = session.options
    value = session.lookup(name, None, "d" in options, "n" in options)
    if value is None:
        return
    if "x" in options and Kind.RAW not in session.table[name].kind:
        value = session.expand(value)
    session.terminal.line(value if "h" in options else f"{name} = {value}", "f" in options)


def split_pattern(pattern: str, least: int, most: int) -> list[str] | None:
    """``name/type/...`` as a list, filled up with ``*``; None where it has the wrong form."""
    if pattern.startswith("/"):
        return None
    words = [word for word in pattern.split("/") if word]
    if not least <= len(words) <= most:
        return None
    if any(WILDCARD in word and word != WILDCARD for word in words):
        return None
    return words + [WILDCARD] * (most - len(words))


def field_index(session: Session, name: str) -> int | None:
    """The index of a field by its name; None for all."""
    if name == WILDCARD:
        return None
    if name not in FIELDS:
        session.terminal.fatal(f'invalid service attribute name: "{name}"')
    return FIELDS.index(name)


def matches(pattern: str, text: str) -> bool:
    """Whether a word of a pattern means a text."""
    return pattern in (WILDCARD, text)


def matches_service(pattern: Sequence[str], name: str, type: str) -> bool:
    """Whether a pattern means a service."""
    return matches(pattern[0], name) and matches(pattern[1], type)


@dataclass(slots=True)
class _Request:
    """What the user asked for, and how often it was found."""

    text: str
    pattern: list[str]
    hits: int = 0


def _requests(session: Session, names: Sequence[str], most: int, form: str) -> list[_Request]:
    requests = []
    for name in names:
        pattern = split_pattern(name, 1, most)
        if pattern is None:
            session.terminal.fatal(f"{form}")
        requests.append(_Request(name, pattern))
    return requests


def _each(
    session: Session, requests: Sequence[_Request], show: Callable[[Entry, str], int]
) -> None:
    """Shows entries, for each request that means them; ``show`` says how much it had to show."""
    for entry in session.entries:
        for request in requests:
            if matches_service(request.pattern, entry.words[0], entry.words[1]):
                request.hits += show(entry, request.pattern[-1])
    for request in requests:
        if not request.hits:
            session.terminal.warning(f'unmatched request: "{request.text}"')


def _expander(session: Session, entry: Entry) -> Callable[[str], str] | None:
    if "x" not in session.options:
        return None
    return lambda text: session.expand(text, entry)


def show_entries(session: Session, names: Sequence[str]) -> None:
    """``postconf -M``: whole entries."""

    def show(entry: Entry, _: str = "") -> int:
        fold = "f" in session.options
        session.terminal.write(entry_text(entry, fold, _expander(session, entry)))
        return 1

    if names:
        form = "-M option requires service_name[/type]"
        _each(session, _requests(session, names, 2, form), show)
    else:
        for entry in session.entries:
            show(entry)


def show_fields(session: Session, names: Sequence[str]) -> None:
    """``postconf -F``: fields."""

    def show(entry: Entry, name: str = WILDCARD) -> int:
        options = session.options
        wanted = field_index(session, name)
        for index in range(len(FIELDS)) if wanted is None else (wanted,):
            session.terminal.write(
                field_text(entry, index, "f" in options, "h" in options, _expander(session, entry))
            )
        return 1

    if names:
        form = "-F option requires service_name[/type[/field]]"
        requests = _requests(session, names, 3, form)
        for request in requests:
            field_index(session, request.pattern[2])
        _each(session, requests, show)
    else:
        for entry in session.entries:
            show(entry)


def show_params(session: Session, names: Sequence[str]) -> None:
    """``postconf -P``: the ``-o`` of entries, in the order of their names."""

    def show(entry: Entry, name: str = WILDCARD) -> int:
        params = entry.params
        if params is None or (name != WILDCARD and name not in params):
            return 0
        wanted = sorted(params, key=to_bytes) if name == WILDCARD else [name]
        for word in wanted:
            value = params[word]
            if "x" in session.options:
                value = session.expand(value, entry)
            text = value if "h" in session.options else f"{entry.space}/{word} = {value}"
            session.terminal.line(text, "f" in session.options)
        return 1

    if names:
        form = "-P option requires service_name[/type[/parameter]]"
        _each(session, _requests(session, names, 3, form), show)
    else:
        for entry in session.entries:
            show(entry)

"""The endpoints of filters: ``inet:host:port``, ``unix:path``, ``{ endpoint, name=value ... }``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mta.conf.errors import ConfError
from mta.conf.kinds import check_time
from mta.util.scalars import (
    conv_time,
    extract_parens,
    split_at_commas,
    split_name_value,
    split_quoted,
)

if TYPE_CHECKING:
    from mta.master.server import Process

#: Options whose value is a time, in seconds where it has no unit.
_TIMES = ("connect_timeout", "command_timeout", "content_timeout")
_TEXTS = ("protocol", "default_action")


@dataclass(slots=True, frozen=True)
class Settings:
    """How a filter is spoken to; times in seconds.  The options in ``{...}`` have these names."""

    connect_timeout: int
    command_timeout: int
    content_timeout: int
    protocol: str
    default_action: str


def default_settings(process: Process) -> Settings:
    """What the parameters ``milter_*`` say."""
    conf = process.conf
    return Settings(
        conf.milter_connect_timeout,
        conf.milter_command_timeout,
        conf.milter_content_timeout,
        conf.milter_protocol,
        conf.milter_default_action,
    )


def parse_milters(process: Process, spec: str) -> list[tuple[str, Settings]]:
    """The filters of a list: name (the endpoint) and settings.
    Logs a fatal error, and raises Fatal, where the list makes no sense.
    """
    defaults = default_settings(process)
    found = []
    for word in split_quoted(spec):
        if not word.startswith("{"):
            found.append((word, defaults))
            continue
        inner, error = extract_parens(word, strip=False)
        if error:
            process.log.fatal(f"milter service syntax error: {error}")
        names = split_at_commas(inner)
        if not names:
            process.log.fatal(f'empty milter definition: "{spec}"')
        options = inner[inner.index(names[0]) + len(names[0]) + 1 :]
        found.append((names[0], _override(process, defaults, options)))
    return found


def _override(process: Process, settings: Settings, text: str) -> Settings:
    """The settings with those of a list of options (attr_override(3))."""
    fatal = process.log.fatal
    values: dict[str, Any] = {}
    for word in split_quoted(text):
        if word.startswith("{"):
            word, error = extract_parens(word, strip=False)
            if error:
                fatal(f'{error} in "{word}"')
        pair = split_name_value(word)
        if isinstance(pair, str):
            fatal(f'malformed option: {pair}: "...{word}..."')
        name, value = pair
        try:
            values[name] = _value(name, value)
        except ConfError as error:
            fatal(error.args[0])
    return replace(settings, **values)


def _value(name: str, value: str) -> str | int:
    """The value of an option.  Raises ConfError."""
    if name in _TEXTS:
        if not value:
            raise ConfError(f"bad string length 0 < 1: {name} = ")
        return value
    if name in _TIMES:
        seconds = conv_time(value, "s")
        if seconds is None:
            raise ConfError(f"{name}: bad time value or unit: {value}")
        return check_time(name, seconds, 1, 0)
    raise ConfError(f'unknown option: "{name} = {value}"')

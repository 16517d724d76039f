"""The configuration of tables in databases: mysql_table(5), ldap_table(5), … (cfg_parser(3)).

``mysql:/path`` reads ``name = value`` lines from a file; ``mysql:prefix`` is the old form with the
parameters ``prefix_name`` of main.cf.
"""

from __future__ import annotations

import re

from mta.dict.process import TableProcess
from mta.dict.registry import TRUSTED, Owner
from mta.dict.tablefile import open_table_file, table_lines
from mta.util.parens import ParenError, split_nameval
from mta.wire.text import to_bytes

_NUMBER = re.compile(r"[ \t\n\v\f\r]*[+-]?\d+", re.ASCII)
_MAX_INT = 2**31


class CfgParser:
    """The settings of one table.  Raises OSError where its file cannot be opened."""

    def __init__(self, process: TableProcess, name: str) -> None:
        self.process = process
        self.name = name
        self.owner = TRUSTED
        self._settings: dict[str, str] | None = None
        if name[:1] in ("/", "."):
            file = open_table_file(process, name)
            self.owner = Owner.of_file(file.uid)
            self._settings = self._load(bytes(file.data))

    def _load(self, data: bytes) -> dict[str, str]:
        log = self.process.log
        settings: dict[str, str] = {}
        for number, text, problem in table_lines(data, self.name):
            if problem:
                log.warning(problem)
                continue
            try:
                key, value = split_nameval(text)
            except ParenError as error:
                log.fatal(f'{self.name}, line {number}: {error.args[0]}: "{text}"')
            old = settings.get(key, value)
            if old != value:
                log.warning(f"{self.name}, line {number}: overriding earlier entry: {key}={old}")
            settings[key] = value
        return settings

    def _value(self, name: str) -> str | None:
        if self._settings is not None:
            return self._settings.get(name)
        value: str | None = self.process.conf.lookup_eval(f"{self.name}_{name}")
        return value

    def _title(self, name: str) -> tuple[str, str]:
        """What comes before a complaint, and the setting's name in it."""
        return (
            (f"{self.name}: ", name) if self._settings is not None else ("", f"{self.name}_{name}")
        )

    def text(self, name: str, default: str = "", min: int = 0, max: int = 0) -> str:
        """A setting as text; its length in bytes has bounds where they are not 0."""
        value = self._value(name)
        if value is None:
            value = default
        size = len(to_bytes(value))
        before, title = self._title(name)
        if min and size < min:
            self.process.log.fatal(f"{before}bad string length {size} < {min}: {title} = {value}")
        if max and size > max:
            self.process.log.fatal(f"{before}bad string length {size} > {max}: {title} = {value}")
        return value

    def optional(self, name: str) -> str | None:
        """A setting as text; None where it is not there, or empty."""
        return self._value(name) or None

    def number(self, name: str, default: int, min: int = 0, max: int = 0) -> int:
        """A setting as a number; bounds count where they are not 0."""
        value = self._value(name)
        before, title = self._title(name)
        number = default
        if value is not None:
            if not _NUMBER.fullmatch(value) or not -_MAX_INT <= int(value) < _MAX_INT:
                self.process.log.fatal(f"{before}bad numerical configuration: {title} = {value}")
            number = int(value)
        if min and number < min:
            self.process.log.fatal(f"{before}invalid {title} parameter value {number} < {min}")
        if max and number > max:
            self.process.log.fatal(f"{before}invalid {title} parameter value {number} > {max}")
        return number

    def switch(self, name: str, default: bool) -> bool:
        """A setting that is ``yes`` or ``no``."""
        value = self._value(name)
        if value is None:
            return default
        if value.lower() not in ("yes", "no"):
            before, title = self._title(name)
            self.process.log.fatal(f"{before}bad boolean configuration: {title} = {value}")
        return value.lower() == "yes"

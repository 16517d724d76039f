"""What all checks of a folder look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mta.conf import interfaces
from mta.conf.conf import PARAMETERS, Conf
from mta.conf.errors import ConfError
from mta.conf.main_cf import MainCf, MainEntry, logical_lines
from mta.conf.master_cf import MasterEntry
from mta.conf.services import SERVICE_PARAMETERS
from mta.util.parens import split_words
from mta.util.scalars import split_name_value
from postlab.check.findings import Findings
from postlab.folder import CONFIG_DIRECTORY, ConfigFolder
from postlab.tools import ToolMachine

_PLACE = re.compile(
    r"(?:\w+ map )?(?P<file>/[^\s,:]+)(?:,|:) line (?P<line>\d+): (?P<text>.*)", re.DOTALL
)
#: What else is made of a value.
TAKEN_APART: dict[str, Callable[[Conf], object]] = {
    "inet_protocols": lambda conf: conf.protocols,
    "inet_interfaces": lambda conf: conf.own_interfaces,
    "proxy_interfaces": lambda conf: conf.proxy_addresses,
    "mynetworks_style": lambda conf: interfaces.mynetworks(conf, conf.mynetworks_style),
}
_LEVEL = re.compile(r"(?P<name>[\w/-]+): (?:(?P<level>warning|error|fatal|panic): )?(?P<text>.*)")


def without(main: MainCf, names: Container[str]) -> MainCf:
    """A configuration without some of its settings."""
    values = {name: value for name, value in main.values.items() if name not in names}
    entries = [entry for entry in main.entries if entry.name not in names]
    return MainCf(path=main.path, values=values, entries=entries)


@dataclass
class Setting:
    """A value in ``main.cf`` (without an entry) or an ``-o`` of ``master.cf``."""

    name: str
    value: str  #: raw
    expanded: str
    line: int
    entry: MasterEntry | None = None


@dataclass
class Context:
    """The folder, parsed; the machine; what was found so far."""

    folder: ConfigFolder
    found: Findings
    said: list[str] = field(default_factory=list)  #: what processes of the machine said, latest

    @cached_property
    def machine(self) -> ToolMachine:
        """A machine with the folder, whose processes' words end in ``said``."""

        def listen(_: int, data: bytes) -> None:
            self.said += data.decode("utf-8", "surrogateescape").splitlines()

        return ToolMachine(self.folder, listen)

    def listen(self) -> list[str]:
        """What was said since the last time."""
        said = list(self.said)
        self.said.clear()
        return said

    @cached_property
    def main(self) -> MainCf:
        """``main.cf`` as far as it makes sense: without lines that are no settings."""
        main = MainCf(path=f"{CONFIG_DIRECTORY}/main.cf")
        for line in logical_lines(self.folder.text("main.cf"), main.path, []):
            pair = split_name_value(line.text)
            if not isinstance(pair, str):
                main.values[pair[0]] = pair[1]
                main.entries.append(MainEntry(*pair, line.line))
        return main

    @cached_property
    def sound_main(self) -> MainCf:
        """The same without the values that Postfix cannot take, so that one mistake does not hide
        the others.
        """
        main = self.main
        while True:
            bad = self._unusable(main)
            if not bad:
                return main
            main = without(main, bad)

    def _unusable(self, main: MainCf) -> set[str]:
        """The names of the values that Postfix cannot take."""
        conf = self.view(main=main)
        bad = set()
        for name, value in main.values.items():
            parameter = PARAMETERS.get(name)
            try:
                if parameter is None:
                    conf.expand(value)
                else:
                    conf.evaluate(parameter, own=True)
                if name in TAKEN_APART:
                    TAKEN_APART[name](conf)
            except ConfError:
                bad.add(name)
        return bad

    def view(
        self,
        program: str = "",
        overrides: Mapping[str, str] | None = None,
        main: MainCf | None = None,
    ) -> Conf:
        """The view of a process, which says nothing.  By default it knows all parameters."""
        return Conf(
            self.main if main is None else main,
            program=program,
            host=self.machine.host,
            overrides=dict(overrides or {}),
            config_directory=CONFIG_DIRECTORY,
            warn=lambda _: None,
        )

    @property
    def main_file(self) -> str:
        """``main.cf`` as the user knows it."""
        return f"{self.folder.shown}/main.cf"

    @property
    def master_file(self) -> str:
        """``master.cf`` as the user knows it."""
        return f"{self.folder.shown}/master.cf"

    @cached_property
    def conf(self) -> Conf:
        """A view that knows all parameters, of what is sound."""
        return self.view(main=self.sound_main)

    @cached_property
    def entries(self) -> list[MasterEntry]:
        """All entries that make sense, also those after one that does not."""
        from postlab.check.master_rules import readable_entries

        return readable_entries(self)

    @cached_property
    def service_parameters(self) -> dict[str, str]:
        """The parameters that services have, and those with their defaults."""
        return {
            entry.name + suffix: default
            for entry in self.entries
            for suffix, default in SERVICE_PARAMETERS.get(entry.program, {}).items()
        }

    def line_of(self, name: str) -> int:
        """The line of ``main.cf`` where a parameter is set."""
        return self.main.line_of(name)

    def expand(self, text: str, overrides: Mapping[str, str] | None = None) -> str:
        """A value, expanded; as it is where that cannot be done."""
        conf = self.conf if not overrides else self.view("", overrides, self.sound_main)
        try:
            return conf.expand(text)
        except ConfError:
            return text

    @cached_property
    def settings(self) -> list[Setting]:
        """All settings of ``main.cf`` that count, and the ``-o`` of ``master.cf``."""
        found = []
        for name, value in self.main.values.items():
            parameter = PARAMETERS.get(name)
            raw = parameter is not None and not parameter.expands
            expanded = value if raw else self.expand(value)
            found.append(Setting(name, value, expanded, self.line_of(name)))
        for entry in self.entries:
            for name, value in entry.overrides.items():
                expanded = self.expand(value, entry.overrides)
                found.append(Setting(name, value, expanded, entry.line, entry))
        return found

    def file_of(self, setting: Setting) -> str:
        """Where a setting stands."""
        return self.main_file if setting.entry is None else self.master_file

    def value(self, name: str) -> str:
        """A parameter's text, expanded; empty where that fails."""
        try:
            return self.conf.get(name)
        except ConfError:
            return ""

    def words(self, name: str) -> list[str]:
        """The words of a list."""
        return split_words(self.value(name))

    # -- messages ---------------------------------------------------------------------------------

    def place(self, text: str) -> tuple[str, int, str]:
        """(file, line, text) of a message that names its place; the parameter's, where it names
        one that is set; or nowhere.
        """
        match = _PLACE.fullmatch(text)
        if match is not None:
            return self.folder.shown_path(match["file"]), int(match["line"]), match["text"]
        for word in re.findall(r"[a-z0-9_]{4,}", text):
            if word in self.main.values and (word in PARAMETERS or word in self.service_parameters):
                return self.main_file, self.line_of(word), text
        return "", 0, text

    def told(self, lines: list[str]) -> Iterator[tuple[str, str]]:
        """(level, text) of lines that processes said."""
        for line in lines:
            match = _LEVEL.fullmatch(line)
            if match is not None:
                yield match["level"] or "info", match["text"]

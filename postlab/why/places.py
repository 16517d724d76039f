"""Where things stand in the user's own files."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import NamedTuple

from mta.conf.main_cf import logical_lines
from mta.util.scalars import split_name_value
from postlab.document import Document
from postlab.folder import CONFIG_DIRECTORY, ConfigFolder
from postlab.model import Scenario


class Place(NamedTuple):
    """A line of a file; an empty file is nowhere (a default of Postfix)."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


NOWHERE = Place()


class Places(ABC):
    """Finds settings and entries of tables."""

    main_cf = ""
    master_cf = ""

    @abstractmethod
    def main(self, line: int) -> Place:
        """A line of ``main.cf``."""

    @abstractmethod
    def master(self, line: int) -> Place:
        """A line of ``master.cf``."""

    @abstractmethod
    def table(self, path: str, line: int) -> Place:
        """A line of a table, by its absolute path in the world."""

    def parameter(self, name: str, service: str = "", word: str = "", after: str = "") -> Place:
        """Where a parameter is set for a service, or where a word (with what comes after it) stands
        in its value.
        """
        found = self._in_master(name, service)
        if found:
            return self.master(found)
        for line in logical_lines(self.main_cf, "main.cf", []):
            pair = split_name_value(line.text)
            if not isinstance(pair, str) and pair[0] == name:
                found = _word_line(self.main_cf, line.line, line.last, word, after)
        return self.main(found) if found else NOWHERE

    def _in_master(self, name: str, service: str) -> int:
        """The line of an ``-o`` of a service."""
        for line in logical_lines(self.master_cf, "master.cf", []):
            if line.text.split()[:1] != [service]:
                continue
            rows = self.master_cf.split("\n")[line.line - 1 : line.last]
            for number, row in enumerate(rows, line.line):
                if re.search(rf"-o\s*\{{?\s*{re.escape(name)}\s*=", row):
                    return number
        return 0


def _word_line(text: str, first: int, last: int, word: str, after: str) -> int:
    """The line between two where a word stands, the first of them where it is nowhere."""
    rows = text.split("\n")[first - 1 : last]
    if not word:
        return first
    pattern = rf"(?<![\w.-]){re.escape(word)}(?![\w.-])"
    best = 0
    for number, row in enumerate(rows, first):
        if row.lstrip().startswith("#") or not re.search(pattern, row, re.IGNORECASE):
            continue
        if after and after in row:
            return number
        best = best or number
    return best or first


class FolderPlaces(Places):
    """The files of a folder."""

    def __init__(self, folder: ConfigFolder) -> None:
        self.folder = folder
        self.main_cf = folder.text("main.cf")
        self.master_cf = folder.text("master.cf")

    def main(self, line: int) -> Place:
        """A line of ``main.cf``."""
        return Place(f"{self.folder.shown}/main.cf", line)

    def master(self, line: int) -> Place:
        """A line of ``master.cf``."""
        return Place(f"{self.folder.shown}/master.cf", line)

    def table(self, path: str, line: int) -> Place:
        """A line of a table."""
        return Place(self.folder.shown_path(path), line)


class ScenarioPlaces(Places):
    """The texts in a scenario file."""

    def __init__(self, document: Document, scenario: Scenario) -> None:
        self.document = document
        self.main_cf = scenario.mta.main_cf
        self.master_cf = scenario.mta.master_cf
        self.files = scenario.mta.files

    def _text(self, path: tuple[str, ...], line: int) -> Place:
        return Place(self.document.name, self.document.text_line(path, line - 1))

    def main(self, line: int) -> Place:
        """A line of ``mta: main.cf``."""
        return self._text(("mta", "main.cf"), line)

    def master(self, line: int) -> Place:
        """A line of ``mta: master.cf``."""
        return self._text(("mta", "master.cf"), line)

    def table(self, path: str, line: int) -> Place:
        """A line of one of ``mta: files``."""
        for name in (path, path.removeprefix(f"{CONFIG_DIRECTORY}/")):
            if name in self.files:
                return self._text(("mta", "files", name), line)
        return Place(path, line)

"""A check of the configuration that a scenario file brings, with the lines of that file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from postlab import configuration
from postlab.check.findings import Finding, Findings
from postlab.document import Document, parse
from postlab.folder import CONFIG_DIRECTORY, ConfigFolder
from postlab.model import Scenario
from postlab.scenario import load
from sim.clock import START

_OTHER_LINE = re.compile(r"\bline (\d+)")


class ScenarioFolder:
    """The configuration of a scenario as a folder, and the way back."""

    def __init__(self, path: Path) -> None:
        """Raises ScenarioError."""
        name = str(path)
        self.scenario: Scenario = load(path)
        self.document: Document = parse(path.read_text("utf-8"), name)
        self.folder = ConfigFolder(Path(CONFIG_DIRECTORY), name)
        for where, data, _ in configuration.files(self.scenario):
            inside = where.removeprefix(f"{CONFIG_DIRECTORY}/")
            if inside != where:
                self.folder.files[inside] = data
            else:
                self.folder.outside[where] = (Path(where), data)
        if self.scenario.uses_tls:
            self._add_certificates()
        own = len(self.scenario.mta.main_cf.rstrip("\n").split("\n"))
        self._base = self.folder.text("main.cf").count("\n") - own

    def _add_certificates(self) -> None:
        """The files that the world has for TLS."""
        from sim.certs import Authority

        authority = Authority(lambda: START)
        own = authority.issue("valid", [self.scenario.mta.hostname])
        for name, data in (("ca.pem", authority.root), ("mx.pem", own.pem)):
            self.folder.files.setdefault(name, data)

    def mapped(self, found: Findings) -> Findings:
        """The findings, with their places in the scenario file."""
        name = self.document.name
        mapped = Findings(name)
        mapped.found = [self._place(finding) for finding in found.found]
        return mapped

    def _place(self, finding: Finding) -> Finding:
        file = finding.file.removeprefix(f"{self.document.name}/")
        line = finding.line
        key: tuple[str, ...]
        if file == "main.cf":
            key, line = ("mta", "main.cf"), line - self._base
        elif file == "master.cf":
            key, line = ("mta", "master.cf"), self._master_line(line)
        elif (given := self._given_name(file)) is not None:
            key = ("mta", "files", given)
        else:
            return finding
        return replace(
            finding,
            file=self.document.name,
            line=self._line(key, line),
            message=_OTHER_LINE.sub(
                lambda m: f"line {self._line(key, int(m[1]) + line - finding.line)}",
                finding.message,
            ),
        )

    def _line(self, key: tuple[str, ...], line: int) -> int:
        """The line of the scenario file that a line of one of its texts is."""
        return self.document.text_line(key, line - 1) if line > 0 else self.document.line(key)

    def _given_name(self, file: str) -> str | None:
        """How the scenario calls a file."""
        names = self.scenario.mta.files
        return next((n for n in (file, f"{CONFIG_DIRECTORY}/{file}") if n in names), None)

    def _master_line(self, line: int) -> int:
        """The line of the scenario's ``master.cf`` that became a line of the whole one."""
        rows = self.folder.text("master.cf").split("\n")
        own = self.scenario.mta.master_cf.split("\n")
        row = rows[line - 1] if 0 < line <= len(rows) else ""
        return own.index(row) + 1 if row and row in own else 0


def check_scenario(path: Path) -> Findings:
    """Everything that is wrong in a scenario's configuration, or worth knowing.

    Raises ScenarioError.
    """
    from postlab.check import check_folder

    given = ScenarioFolder(path)
    return given.mapped(check_folder(given.folder))

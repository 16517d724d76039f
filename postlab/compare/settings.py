"""What differs in the files of two configurations: parameters, services, tables."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from mta.conf.conf import PARAMETERS
from mta.conf.main_cf import parse_main_cf
from postlab import configuration
from postlab.folder import ConfigFolder
from postlab.model import Scenario
from reports.changes import Setting

Files = Mapping[str, bytes]

_MAIN, _MASTER = "main.cf", "master.cf"
_MOST_LINES = 40


def files_of(folder: ConfigFolder) -> dict[str, bytes]:
    """The files of a folder by name, those elsewhere by their absolute names."""
    files = dict(folder.files)
    files.update((path, data) for path, (_, data) in folder.outside.items())
    if not folder.has_master_cf:
        files[_MASTER] = configuration.stock_master_cf().encode()
    return files


def files_of_scenario(scenario: Scenario) -> dict[str, bytes]:
    """The files that a scenario brings, likewise."""
    prefix = f"{configuration.CONFIG_DIRECTORY}/"
    return {path.removeprefix(prefix): data for path, data, _ in configuration.files(scenario)}


def settings(old: Files, new: Files) -> list[Setting]:
    """What differs, parameters first, then services, then other files."""
    return [
        *_parameters(_text(old, _MAIN), _text(new, _MAIN)),
        *_services(_text(old, _MASTER), _text(new, _MASTER)),
        *_others(old, new),
    ]


def _text(files: Files, name: str) -> str:
    return files.get(name, b"").decode("utf-8", "surrogateescape")


def _parameters(old: str, new: str) -> Iterator[Setting]:
    before, after = parse_main_cf(old).values, parse_main_cf(new).values
    for name in sorted({**before, **after}):
        default = PARAMETERS[name].default if name in PARAMETERS else ""
        one, two = before.get(name, default), after.get(name, default)
        if one != two:
            yield Setting(
                name,
                one,
                two,
                old_is_default=name not in before,
                new_is_default=name not in after,
            )


def _services(old: str, new: str) -> Iterator[Setting]:
    before, after = _entries(old), _entries(new)
    for name in {**before, **after}:
        one, two = before.get(name, ""), after.get(name, "")
        if one != two:
            yield Setting(f"{_MASTER}: {name}", one, two)


def _entries(text: str) -> dict[str, str]:
    """The services of ``master.cf`` by ``name/type``, blanks made one."""
    lines = (" ".join(line.split()) for line in configuration.logical_lines(text))
    return {"/".join(line.split()[:2]): line for line in lines}


def _others(old: Files, new: Files) -> Iterator[Setting]:
    for name in sorted({**old, **new}):
        if name in (_MAIN, _MASTER) or old.get(name) == new.get(name):
            continue
        lines: list[str] = []
        if not any(b"\0" in files.get(name, b"") for files in (old, new)):
            one, two = (_text(files, name).splitlines() for files in (old, new))
            found = list(difflib.unified_diff(one, two, lineterm="", n=0))[2:]
            lines = [line for line in found if not line.startswith("@@")]
        if len(lines) > _MOST_LINES:
            more = len(lines) - _MOST_LINES
            lines[_MOST_LINES:] = [f"  … and {more} lines more"]
        yield Setting(f"file {name}", _size(old, name), _size(new, name), tuple(lines))


def _size(files: Files, name: str) -> str:
    if name not in files:
        return ""
    count = files[name].count(b"\n")
    return f"{count} line{'' if count == 1 else 's'}"

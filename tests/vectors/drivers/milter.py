"""Edits of queue files by milters."""

from __future__ import annotations

from typing import Any

from mta.cleanup import addr
from mta.dict.process import WORKING_DIRECTORY
from mta.lib.log import Log
from mta.master.server import Process
from mta.system import Fatal, Wait
from mta.wire.text import printable
from tests.cleanup.driver_cleanup_milter import Driver
from tests.vectors.shell import DIRECTORY, Folder, Io, program
from tests.vectors.site import site_of


class _LineLog(Log):
    """Keeps its lines for the driver, which adds some of its own."""

    __slots__ = ("lines",)

    def __init__(self, log: Log) -> None:
        super().__init__(log.system, log.tag, log.pid)
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        """A line."""
        self.lines.append(printable(text))


class _File:
    """A file in the folder, as the driver asks for it."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.folder = folder
        self.name = name

    def __str__(self) -> str:
        return self.name

    def read_bytes(self) -> bytes:
        """The content."""
        return self.folder.read(self.name)


class _Directory:
    """The folder, as the driver asks for it."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> _File:
        return _File(self.folder, name)


class _Files(dict[str, bytes]):
    """The queue files."""

    def __init__(self, folder: Folder) -> None:
        super().__init__()
        self.folder = folder

    def __getitem__(self, name: str) -> bytes:
        return self.folder.read(name)

    def __setitem__(self, name: str, data: bytes) -> None:
        self.folder.write(name, data)


def _as_it_is(_state: Any, address: str) -> Wait[str]:
    """The program does not rewrite."""
    return address
    yield


@program("cleanup_milter")
def run_cleanup_milter(io: Io) -> int:
    """A script of edits."""
    site = site_of(io)
    process: Process = site.process(io, {"recipient_delimiter": ""}, program="cleanup")
    log = process.log = _LineLog(process.log)
    process.cache[WORKING_DIRECTORY] = DIRECTORY
    folder: Any = _Directory(site.folder)
    driver = Driver(process, folder, _Files(site.folder))
    script = io.lines()
    module: Any = addr
    rewrite = module.rewrite_internal
    module.rewrite_internal = _as_it_is
    try:
        for line in script:
            io.line(f"> {line}")
            driver.play_line(line)
            _tell(io, log)
        driver.finish()
    except Fatal:
        return 1
    finally:
        module.rewrite_internal = rewrite
        _tell(io, log)
    return 0


def _tell(io: Io, log: _LineLog) -> None:
    for line in log.lines:
        io.message(line)
    log.lines.clear()

"""A mail system that is there, but does not run: for a process of cleanup(8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from mta.lib.log import Log
from mta.postfix import Postfix
from mta.system import System
from mta.wire.text import printable
from sim.world import World
from tests.cleanup.cleanup_site import CleanupSite


class ListLog(Log):
    """Keeps its lines."""

    __slots__ = ("lines",)

    def __init__(self, log: Log) -> None:
        super().__init__(log.system, log.tag, log.pid)
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(printable(text))


MAIN_CF = "compatibility_level = 2\nmyhostname = mx.example.org\ninet_protocols = ipv4\n"


@pytest.fixture
def make_process() -> Callable[..., Any]:
    """Builds a process of a program from further main.cf text; ``process.log.lines`` is its log."""

    def make(main_cf: str = "", program: str = "cleanup", files: dict[str, bytes] | None = None) -> Any:
        world = World(seed=1)
        machine = world.machine("mta", ["192.0.2.25"], users=["alice"], hostname="mx.example.org")
        disk = machine.files
        disk.mkdir("/etc/postfix")
        disk.mkdir("/var/spool/postfix")
        disk.write("/etc/postfix/main.cf", (MAIN_CF + main_cf).encode())
        disk.write("/etc/postfix/master.cf", b"cleanup unix n - n - 0 cleanup\n")
        for path, data in (files or {}).items():
            disk.mkdir(path.rpartition("/")[0])
            disk.write(path, data)
        postfix = Postfix(cast(System, machine))
        process = postfix.process(program)
        process.log = ListLog(process.log)
        return process

    return make


@pytest.fixture
def site() -> type[CleanupSite]:
    """Builds a running mail system from further main.cf text and files in /etc/postfix."""
    return CleanupSite

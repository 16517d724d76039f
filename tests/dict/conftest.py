"""A process with a disk in memory, for tables and lists."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from mta.system import Account, Fatal, Panic, Stat


@dataclass
class MemoryFile:
    data: bytearray = field(default_factory=bytearray)
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    nlink: int = 1
    inode: int = 1


class MemoryFiles:
    """A flat disk; ``now`` is what writes leave as modification time."""

    def __init__(self) -> None:
        self.files: dict[str, MemoryFile] = {}
        self.now = 1_000_000_000_000_000

    def open(self, path: str) -> MemoryFile:
        if path not in self.files:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self.files[path]

    def create(self, path: str, mode: int = 0o644, uid: int = 0, gid: int = 0) -> MemoryFile:
        if path in self.files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self.files[path] = MemoryFile(bytearray(), mode, uid, gid, self.now)
        return self.files[path]

    def read(self, path: str) -> bytes:
        return bytes(self.open(path).data)

    def write(self, path: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        if path not in self.files:
            self.create(path, mode, uid, gid)
        self.files[path].data[:] = data
        self.files[path].mtime = self.now

    def append(self, path: str, data: bytes, mode: int = 0o600, uid: int = 0, gid: int = 0) -> None:
        if path not in self.files:
            self.create(path, mode, uid, gid)
        self.files[path].data += data
        self.files[path].mtime = self.now

    def remove(self, path: str) -> None:
        self.open(path).nlink -= 1
        del self.files[path]

    def exists(self, path: str) -> bool:
        return path in self.files or any(name.startswith(f"{path}/") for name in self.files)

    def stat(self, path: str) -> Stat:
        file = self.open(path)
        return Stat(len(file.data), file.mode, file.uid, file.gid, file.mtime, False)

    def sync(self, file: MemoryFile) -> str:
        return "synced"


class MemoryLog:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)

    def warning(self, text: str) -> None:
        self.info(f"warning: {text}")

    def error(self, text: str) -> None:
        self.info(f"error: {text}")

    def fatal(self, text: str) -> NoReturn:
        self.info(f"fatal: {text}")
        raise Fatal(text)

    def panic(self, text: str) -> NoReturn:
        self.info(f"panic: {text}")
        raise Panic(text)


class Accounts:
    def by_name(self, name: str) -> Account | None:
        users = {
            "alice": Account("alice", 1001, 1002, "Alice", "/home/alice", "/bin/sh"),
            "postfix": Account("postfix", 101, 102, "", "/var/spool/postfix", "/bin/false"),
        }
        return users.get(name)

    def group(self, name: str) -> int | None:
        return {"mail": 8}.get(name)


class ScriptedStream:
    """A stream of which the other side says the same whatever it hears, then closes or waits."""

    def __init__(self, says: bytes, then: Any = b"") -> None:
        self.says = says
        self.then = then
        self.heard = b""
        self.closed = False

    @property
    def at_end(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        self.heard += data

    def flush(self, timeout: float) -> None:
        return None

    def read(self, limit: int, timeout: float) -> Any:
        data, self.says = self.says[:limit], self.says[limit:]
        return data or self.then

    def read_line(self, limit: int, timeout: float) -> Any:
        end = self.says.find(b"\n") + 1 or len(self.says)
        return self.read(min(end, limit), timeout) if self.says else self.then

    def close(self) -> None:
        self.closed = True


class ScriptedNetwork:
    """Connections in the order in which they are asked for; an exception refuses one."""

    def __init__(self) -> None:
        self.streams: list[Any] = []
        self.asked: list[Any] = []

    def connect(self, remote: Any, timeout: float, source: str = "") -> Any:
        self.asked.append(remote)
        return self.streams.pop(0)


class MemoryProcess:
    """A process; ``text(path, content)`` writes a file, ``lines`` is its log."""

    def __init__(self, **parameters: Any) -> None:
        self.files = MemoryFiles()
        self.log = MemoryLog()
        self.cache: dict[Any, Any] = {}
        self.dice = random.Random(1)
        self.network = ScriptedNetwork()
        self.databases: dict[str, Any] = {}
        self.system: Any = SimpleNamespace(
            files=self.files,
            accounts=Accounts(),
            dice=lambda name: self.dice,
            decisions=None,
            network=self.network,
            sleep=lambda seconds: None,
            databases=self.databases,
            now=lambda: self.files.now,
        )
        self.conf = SimpleNamespace(
            smtputf8_enable=True,
            daemon_table_open_error_is_fatal=False,
            queue_directory="/var/spool/postfix",
            config_directory="/etc/postfix",
            mail_owner="postfix",
            alias_maps="",
            alias_database="",
            parent_domain_matches_subdomains="",
            double_bounce_sender="double-bounce",
            owner_request_special=True,
            recipient_delimiter="",
            inet_protocols="ipv4",
            myorigin="example.org",
            mydestination="example.org, localhost",
            lookup_eval=lambda name: None,
        )
        self.conf.__dict__.update(parameters)

    @property
    def lines(self) -> list[str]:
        return self.log.lines

    def keep(self, stream: Any) -> None:
        """Connections end with the process; here nothing ends."""

    def text(self, path: str, content: str, uid: int = 0) -> None:
        self.files.write(path, content.encode("utf-8", "surrogateescape"), uid=uid)


@pytest.fixture
def process() -> Iterator[MemoryProcess]:
    yield MemoryProcess()


def finish(steps: Any) -> Any:
    """The result of something that may wait.  What it waits for is there at once: the leaves of
    these fakes are their own values, and exceptions that are to be raised.
    """
    value: Any = None
    while True:
        try:
            value = steps.throw(value) if isinstance(value, Exception) else steps.send(value)
        except StopIteration as done:
            return done.value

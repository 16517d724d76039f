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
        return path in self.files

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


class MemoryProcess:
    """A process; ``text(path, content)`` writes a file, ``lines`` is its log."""

    def __init__(self, **parameters: Any) -> None:
        self.files = MemoryFiles()
        self.log = MemoryLog()
        self.cache: dict[Any, Any] = {}
        self.dice = random.Random(1)
        self.system: Any = SimpleNamespace(
            files=self.files,
            accounts=Accounts(),
            dice=lambda name: self.dice,
            decisions=None,
            network=None,
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
        )
        self.conf.__dict__.update(parameters)

    @property
    def lines(self) -> list[str]:
        return self.log.lines

    def text(self, path: str, content: str, uid: int = 0) -> None:
        self.files.write(path, content.encode("utf-8", "surrogateescape"), uid=uid)


@pytest.fixture
def process() -> Iterator[MemoryProcess]:
    yield MemoryProcess()


def finish(steps: Any) -> Any:
    """The result of something that may wait, but does not wait for anything here."""
    value = None
    while True:
        try:
            value = steps.send(value)
        except StopIteration as done:
            return done.value

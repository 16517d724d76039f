"""A folder like ``/etc/postfix``, as it is: its files, and where they lie in a simulated machine.

Everything is read once, and nothing is ever written or run.  In the world the folder is
``/etc/postfix``, and also what its real path is, so that a ``main.cf`` may name either.

Files elsewhere: where the folder is ``TREE/etc/postfix``, tables and lists that ``main.cf`` and
``master.cf`` name by absolute paths are read below ``TREE``.  ``/etc/aliases`` may also lie in the
folder itself, as ``aliases``.

Compiled tables of formats that are not ours are left out where their text is there, too: tables are
built from their texts, as postmap(1) does it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

CONFIG_DIRECTORY = "/etc/postfix"
ALIASES = "/etc/aliases"

_LARGEST = 64 << 20
_COMPILED = (".db", ".dir", ".pag", ".cdb", ".lmdb")
_SQLITE = b"SQLite format 3\0"
#: Files that belong to the system, which a configuration means without naming them.
_SYSTEM_FILES = ("/etc/aliases", "/etc/hosts", "/etc/mailname")
#: Absolute paths after a table's type, or as a member of a list.
_NAMED = re.compile(r"(?:(?<=:)|(?<![^\s,{}!=]))/[^\s,{}:;()]+")
_NO_TABLES = re.compile(r".*(?:_file|_CAfile|_directory|_dir|_path|_CApath|_socket|_program)$")


class FolderError(Exception):
    """A folder that is none, or has no ``main.cf``.  ``args[0]`` says what is wrong."""


class Compiled(NamedTuple):
    """A compiled table beside its text (both relative names)."""

    name: str
    text: str  #: empty where there is no text
    stale: bool  #: whether the text is newer


@dataclass
class ConfigFolder:
    """The files of a folder."""

    root: Path
    shown: str  #: the path as the user wrote it
    files: dict[str, bytes] = field(default_factory=dict)  #: by their names relative to the folder
    outside: dict[str, tuple[Path, bytes]] = field(default_factory=dict)  #: by absolute names
    unreadable: dict[str, str] = field(default_factory=dict)  #: names, and why
    compiled: list[Compiled] = field(default_factory=list)

    @classmethod
    def load(cls, path: str | Path) -> ConfigFolder:
        """Reads a folder.  Raises FolderError."""
        root = Path(path).absolute()
        folder = cls(root, str(path).rstrip("/") or "/")
        if not root.is_dir():
            raise FolderError(f"{path}: there is no such folder")
        folder._read()
        if "main.cf" not in folder.files:
            why = folder.unreadable.get("main.cf", "there is none")
            raise FolderError(f"{folder.shown}/main.cf: {why}")
        folder._drop_compiled()
        folder._read_outside()
        return folder

    def _read(self) -> None:
        for directory, folders, names in os.walk(self.root, followlinks=False):
            folders.sort()
            for name in sorted(names):
                path = Path(directory, name)
                relative = path.relative_to(self.root).as_posix()
                data = self._content(path, relative)
                if data is not None:
                    self.files[relative] = data

    def _content(self, path: Path, name: str) -> bytes | None:
        """The content of a regular file; None, and a note, where it cannot be had."""
        try:
            if not path.is_file():
                if path.is_symlink():
                    self.unreadable[name] = "the link leads nowhere"
                return None
            if path.stat().st_size > _LARGEST:
                self.unreadable[name] = f"it is larger than {_LARGEST >> 20} MB"
                return None
            return path.read_bytes()
        except OSError as error:
            self.unreadable[name] = error.strerror or str(error)
            return None

    def _drop_compiled(self) -> None:
        for name in list(self.files):
            text, dot, suffix = name.rpartition(".")
            if dot + suffix not in _COMPILED or self.files[name].startswith(_SQLITE):
                continue
            there = text in self.files
            stale = there and self._mtime(text) > self._mtime(name)
            self.compiled.append(Compiled(name, text if there else "", stale))
            if there:
                del self.files[name]

    def _mtime(self, name: str) -> float:
        try:
            return (self.root / name).stat().st_mtime
        except OSError:
            return 0.0

    def _read_outside(self) -> None:
        tree = self.tree
        if tree is not None:
            for path in dict.fromkeys((*_SYSTEM_FILES, *self._named_paths())):
                real = tree / path.lstrip("/")
                if self._is_inside(real) or not real.exists():
                    continue
                data = self._content(real, path)
                if data is not None:
                    self.outside[path] = (real, data)
        if ALIASES not in self.outside and "aliases" in self.files:
            self.outside[ALIASES] = (self.root / "aliases", self.files["aliases"])

    @property
    def tree(self) -> Path | None:
        """What stands for ``/`` where the folder is ``…/etc/postfix``."""
        if self.root.parts[-2:] == ("etc", "postfix"):
            return self.root.parent.parent
        return None

    def _is_inside(self, path: Path) -> bool:
        return path == self.root or self.root in path.parents

    def _named_paths(self) -> Iterator[str]:
        from mta.conf.main_cf import logical_lines

        warnings: list[str] = []
        for name in ("main.cf", "master.cf"):
            for line in logical_lines(self.text(name), name, warnings):
                parameter = line.text.partition("=")[0].strip()
                if name == "main.cf" and _NO_TABLES.fullmatch(parameter):
                    continue
                yield from _NAMED.findall(line.text)

    # -- looking --------------------------------------------------------------------------------

    def text(self, name: str) -> str:
        """The text of a file; empty where there is none."""
        return self.files.get(name, b"").decode("utf-8", "surrogateescape")

    @property
    def has_master_cf(self) -> bool:
        """Whether there is a ``master.cf``."""
        return "master.cf" in self.files

    def mounts(self) -> Iterator[tuple[str, bytes]]:
        """(absolute path in the world, content) of each file."""
        roots = dict.fromkeys((CONFIG_DIRECTORY, self.root.as_posix()))
        for name, data in self.files.items():
            for root in roots:
                yield f"{root}/{name}", data
        for path, (_, data) in self.outside.items():
            yield path, data

    def shown_path(self, path: str) -> str:
        """The user's name for a path of the world."""
        for root in (CONFIG_DIRECTORY, self.root.as_posix()):
            if path == root or path.startswith(f"{root}/"):
                return self.shown + path[len(root) :]
        if path in self.outside:
            return str(self.outside[path][0])
        return path

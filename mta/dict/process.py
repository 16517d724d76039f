"""What tables need of the process that opens them: a part of :class:`mta.master.server.Process`."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

from mta.system import System


class TableLog(Protocol):
    """The log of the process (msg(3))."""

    def info(self, text: str) -> None:
        """A line without a level."""

    def warning(self, text: str) -> None:
        """``warning: ...``."""

    def error(self, text: str) -> None:
        """``error: ...``."""

    def fatal(self, text: str) -> NoReturn:
        """``fatal: ...``; raises Fatal."""

    def panic(self, text: str) -> NoReturn:
        """``panic: ...``; raises Panic."""


class TableProcess(Protocol):
    """The process that opens a table.  ``cache`` keeps the open tables, by :data:`HANDLES`."""

    system: System
    conf: Any
    cache: dict[Any, Any]

    @property
    def log(self) -> TableLog:
        """The log of the process."""


#: Keys of ``process.cache``.
HANDLES = "dict_handles"  #: dict of "type:name(flags)" to open tables
ALLOW_SURROGATE = "dict_allow_surrogate"  #: whether a table that fails to open may be opened still
WORKING_DIRECTORY = "dict_directory"  #: where relative table names start; the queue directory


#: The programs that are commands, for which a table that fails to open is fatal.
COMMANDS = frozenset(
    (
        "mailq", "newaliases", "postalias", "postcat", "postconf", "postdrop", "postfix",
        "postlog", "postmap", "postqueue", "postsuper", "sendmail",
    )
)  # fmt: skip


def is_command(process: TableProcess) -> bool:
    """Whether the process is one of the commands, and no daemon."""
    return getattr(process, "program", "") in COMMANDS


def decide(process: TableProcess, kind: str, /, **facts: Any) -> None:
    """Tells a decision to whoever listens.  In hot places ask ``system.decisions`` first."""
    tell = getattr(process, "decide", None)
    if tell is not None:
        tell(kind, **facts)
    elif process.system.decisions is not None:
        process.system.decisions(kind, facts)


def utf8_enabled(process: TableProcess) -> bool:
    """util_utf8_enable: ``smtputf8_enable``."""
    return bool(process.conf.smtputf8_enable)


def surrogate_allowed(process: TableProcess) -> bool:
    """Whether a table that cannot be opened fails only when it is used."""
    allowed = process.cache.get(ALLOW_SURROGATE)
    if allowed is None:
        allowed = not (is_command(process) or process.conf.daemon_table_open_error_is_fatal)
    return bool(allowed)


def absolute_path(process: TableProcess, path: str) -> str:
    """A table's path as the disk knows it: relative ones start in the working directory."""
    if path.startswith("/"):
        return path
    directory = process.cache.get(WORKING_DIRECTORY) or process.conf.queue_directory
    return f"{directory}/{path}"

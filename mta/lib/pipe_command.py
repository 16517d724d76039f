"""pipe_command(3) - hands a message to an external command and judges how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from mta.lib.export_environ import PATH, export_environ
from mta.lib.log import Log
from mta.lib.sys_exits import (
    EX_SOFTWARE,
    EX_TEMPFAIL,
    is_sys_exit,
    sys_exits_detail,
)
from mta.system import ProgramResult, TimedOut, Wait
from mta.wire.dsn import Dsn, dsn_split, dsn_valid
from mta.wire.text import printable, to_text

if TYPE_CHECKING:
    from mta.master.server import Process

#: How much of a command's output is of interest.
_OUTPUT_SIZE = 4096
#: What fits into a pipe while nobody reads it.
_PIPE_SIZE = 65536
_PLAIN = frozenset("1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \t")
_SHELL = "sh"  #: what /bin/sh is told that it is called


class PipeStatus(Enum):
    """How a delivery to a command ended."""

    OK = "ok"
    BOUNCE = "bounce"
    DEFER = "defer"


class PipeResult(NamedTuple):
    """The status, and why; after success the reason is what the command printed."""

    status: PipeStatus
    dsn: Dsn


class Job(NamedTuple):
    """A command to run.  ``argv`` are its words, or ``command`` is a text for a shell, with
    ``shell`` as the words of that (empty: a shell only where it is needed).
    """

    uid: int
    gid: int
    time_limit: int  #: seconds
    argv: Sequence[str] = ()
    command: str = ""
    shell: str = ""
    env: Mapping[str, str] = {}
    cwd: str = ""
    chroot: str = ""
    note: Mapping[str, Any] | None = None


class _ChildError(Exception):
    """The command could not even be started: args[0] is what the child says of it, args[1] whether
    it had let go of the log by then.  If so it says it through the pipe too, and what is logged
    lacks ``syslog_name``.
    """


def pipe_command(process: Process, job: Job, message: bytes) -> Wait[PipeResult]:
    """Runs a command with a message on its standard input."""
    name = job.argv[0] if job.argv else job.command
    try:
        result: ProgramResult = yield from _run(process, job, message)
    except TimedOut:
        stuck = "write" if len(message) > _PIPE_SIZE else "read"
        process.log.warning(f"pipe_command_{stuck}: {stuck} time limit exceeded")
        text = sys_exits_detail(EX_SOFTWARE).text
        reason = f'Command time limit exceeded: "{name}"'
        return PipeResult(PipeStatus.BOUNCE, Dsn("5.3.0", reason, dtype="x-unix", dtext=text))
    output = to_text(result.output[:_OUTPUT_SIZE].partition(b"\0")[0])
    output = output.replace("\t", " ").replace("\n", " ")
    output = printable(output, "_", bool(process.conf.smtputf8_enable))
    if result.status == 0:
        return PipeResult(PipeStatus.OK, Dsn("2.0.0", output))
    dsn = _failure(result.status, name, output)
    defer = dsn.status.startswith("4")
    return PipeResult(PipeStatus.DEFER if defer else PipeStatus.BOUNCE, dsn)


def _failure(status: int, name: str, output: str) -> Dsn:
    """What an exit status (minus a signal's number) and the output mean."""
    tail = f". Command output: {output}" if output else ""
    if status < 0:
        detail = sys_exits_detail(EX_SOFTWARE)._replace(dsn="4.3.0")
        reason = f'Command died with signal {-status}: "{name}"{tail}'
    elif dsn_valid(output):
        code, text = dsn_split("5.3.0", output)
        return Dsn(code, text, dtype="x-unix" if text else "", dtext=text)
    elif is_sys_exit(status):
        detail = sys_exits_detail(status)
        reason = detail.text + tail
    else:
        detail = sys_exits_detail(status)
        reason = f'Command died with status {status}: "{name}"{tail}'
    return Dsn(detail.dsn, reason, dtype="x-unix", dtext=output or detail.text)


# -- the child process ----------------------------------------------------------------------------


def _run(process: Process, job: Job, message: bytes) -> Wait[ProgramResult]:
    """Raises TimedOut."""
    try:
        return (yield from _child(process, job, message))
    except _ChildError as error:
        text, detached = error.args
        tag = process.program if detached else process.log.tag
        Log(process.system, tag, next(process.master.pids)).info(f"fatal: {text}")
        output = f"{process.program}: fatal: {text}\n".encode() if detached else b""
        return ProgramResult(EX_TEMPFAIL, output)


def _child(process: Process, job: Job, message: bytes) -> Wait[ProgramResult]:
    files = process.system.files
    if job.chroot and not files.exists(job.chroot):
        raise _ChildError(f"chroot({job.chroot}): No such file or directory", False)
    if job.cwd and not files.exists(job.cwd):
        raise _ChildError(
            f'cannot change directory to "{job.cwd}" for uid={job.uid} gid={job.gid}: '
            "No such file or directory",
            False,
        )
    argv, who = _words(process, job)
    try:
        return (yield from _execute(process, job, argv, message))
    except OSError as error:
        if who == "exec_command" and "/" not in argv[0]:
            return (yield from _execute(process, job, [_SHELL, "-c", job.command], message))
        label = "" if who == "exec_command" else f"{who}: "
        raise _ChildError(f"{label}execvp {argv[0]}: {error.strerror}", True) from error


def _words(process: Process, job: Job) -> tuple[list[str], str]:
    """The words of the command, and which function of Postfix's would execute it."""
    if job.argv:
        return [_found(process, job.argv[0]), *job.argv[1:]], "pipe_command"
    if job.shell:
        return [*job.shell.split(), job.command], "pipe_command"
    if set(job.command) <= _PLAIN and job.command.strip(" \t"):
        words = job.command.split()
        return [_found(process, words[0]), *words[1:]], "exec_command"
    return [_SHELL, "-c", job.command], "shell"


def _found(process: Process, name: str) -> str:
    """A command without a directory is looked for in PATH."""
    if "/" not in name:
        for directory in PATH.split(":"):
            if process.system.programs.exists(f"{directory}/{name}"):
                return f"{directory}/{name}"
    return name


def _execute(process: Process, job: Job, argv: list[str], message: bytes) -> Wait[ProgramResult]:
    """Raises TimedOut, OSError."""
    result: ProgramResult = yield process.system.programs.run(
        argv,
        stdin=message,
        env={**export_environ(process), **job.env},
        cwd=job.cwd or process.conf.queue_directory,
        uid=job.uid,
        gid=job.gid,
        timeout=job.time_limit,
        note=job.note,
    )
    return result

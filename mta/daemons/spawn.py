"""spawn(8) - starts an external command for each connection.

DESCRIPTION
    Listens where its entry in master.cf says, and connects a command's input and output with the
    client.  Attributes: ``user=NAME`` or ``user=NAME:GROUP``, whose rights the command has (never
    root's or the mail system's), and ``argv=``, the command, which is the last.

    Commands of the simulation are given their input as a whole.  So a command here gets all that
    its client says before it closes its side or falls silent for the time limit, and then answers
    once; a warning says so.  A dialogue (a policy server, say) needs a peer of the simulation.

DIAGNOSTICS
    A warning when the command ends with a status other than 0, or by a signal.

CONFIGURATION PARAMETERS
    command_time_limit, NAME_time_limit, export_environment, mail_owner, queue_directory
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mta.lib.export_environ import export_environ
from mta.lib.log import Log
from mta.lib.mail_owner import mail_owner
from mta.lib.passed_stream import PassedStream
from mta.lib.service_user import ServiceUser, service_user
from mta.lib.table_changes import must_begin_anew
from mta.master.server import Process, Program, program
from mta.system import Gone, ProgramResult, Stream, TimedOut, Wait

_SIGKILL = 9
_CHUNK = 4096


@dataclass(slots=True)
class Attributes:
    """What the master.cf entry says."""

    user: ServiceUser
    time_limit: int
    argv: Sequence[str] = field(default_factory=tuple)


def parse_attributes(process: Process) -> Attributes:
    """Reads the attributes of the service.  What is wrong is fatal."""
    fatal = process.log.fatal
    limit = process.conf.service_time(
        process.service, "_time_limit", process.conf.command_time_limit, "s", 1
    )
    user: ServiceUser | None = None
    argv: Sequence[str] = ()
    for index, word in enumerate(process.args):
        name, equals, value = word.partition("=")
        if name.lower() == "argv" and equals:
            argv = (value, *process.args[index + 1 :])
            break
        if name.lower() != "user" or not equals:
            fatal(f"unknown attribute name: {word}")
        user = service_user(process, value, "unknown user name: ", "unknown group name: ")
    if user is None:
        fatal("missing user= attribute")
    if not argv:
        fatal("missing argv= attribute")
    _check_rights(process, user)
    return Attributes(user, limit, argv)


def _check_rights(process: Process, user: ServiceUser) -> None:
    fatal, owner = process.log.fatal, mail_owner(process)
    if user.uid == 0:
        fatal("request to deliver as root")
    if user.uid == owner.uid:
        fatal("request to deliver as mail system owner")
    if user.gid == 0:
        fatal(f"request to use privileged group id {user.gid}")
    if user.gid == owner.gid:
        fatal(f"request to use mail system owner group id {user.gid}")


@program("spawn")
class Spawn(Program):
    """One process of spawn(8)."""

    arguments = True
    streams = True

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.attributes: Attributes | None = None

    def serve(self, request: Stream | PassedStream) -> Wait[None]:
        """Runs the command for one client."""
        process = self.process
        must_begin_anew(process)
        if self.attributes is None:
            self.attributes = parse_attributes(process)
        stream = request.stream if isinstance(request, PassedStream) else request
        process.log.warning(
            f"a dialogue with a command is not implemented: {self.attributes.argv[0]} gets all "
            "that its client says, and answers once"
        )
        try:
            status = yield from self._converse(self.attributes, stream)
        except Gone:
            return
        if status > 0:
            process.log.warning(f"command {self.attributes.argv[0]} exit status {status}")
        elif status < 0:
            process.log.warning(f"command {self.attributes.argv[0]} killed by signal {-status}")

    def _converse(self, attributes: Attributes, stream: Stream) -> Wait[int]:
        """The exit status of the command, or minus a signal's number.  Raises Gone."""
        process, said = self.process, bytearray()
        try:
            while chunk := (yield stream.read(_CHUNK, attributes.time_limit)):
                said += chunk
            result = yield from self._run(attributes, bytes(said))
        except TimedOut:
            pid = next(process.master.pids)
            process.log.warning(
                f"{attributes.argv[0]}: process id {pid}: command time limit exceeded"
            )
            return -_SIGKILL
        stream.write(result.output)
        try:
            yield stream.flush(attributes.time_limit)
        except TimedOut:
            pass
        return result.status

    def _run(self, attributes: Attributes, said: bytes) -> Wait[ProgramResult]:
        """Raises TimedOut."""
        process = self.process
        try:
            result: ProgramResult = yield process.system.programs.run(
                attributes.argv,
                stdin=said,
                env=export_environ(process),
                cwd=process.conf.queue_directory,
                uid=attributes.user.uid,
                gid=attributes.user.gid,
                timeout=attributes.time_limit,
            )
        except OSError as error:
            child = Log(process.system, process.program, next(process.master.pids))
            child.info(f"fatal: spawn_comand: execvp {attributes.argv[0]}: {error.strerror}")
            return ProgramResult(1, b"")
        return result

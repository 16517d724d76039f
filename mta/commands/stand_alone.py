"""``sendmail -bs``: smtpd(8) on standard input and output, with postdrop(1) behind it."""

from __future__ import annotations

from collections.abc import Callable

from mta.commands.command import Command, CommandLog, main_cf_read
from mta.commands.postdrop import Drop
from mta.lib.crash import Crash
from mta.lib.requests import CLEANUP_STAT_WRITE, CleanupMessage, CleanupReply
from mta.master.server import Process
from mta.smtpd.destination import Destination
from mta.smtpd.server import Server
from mta.smtpd.smtpd import smtpd_service
from mta.smtpd.state import Session
from mta.system import Account, Cipher, Endpoint, Fatal, Leaf, System, Unix, Wait


class StandardStream:
    """Standard input and output as a stream: all that there is to read is there at once."""

    def __init__(self, system: System, data: bytes) -> None:
        self.local: Endpoint = Unix("stdout")
        self.remote: Endpoint = Unix("stdin")
        self.output = bytearray()
        self._system = system
        self._input = data

    def _leaf(self, value: bytes | None) -> Leaf:
        signal = self._system.signal()
        signal.set(value)
        return signal.wait()

    def _take(self, size: int) -> bytes:
        taken, self._input = self._input[:size], self._input[size:]
        return taken

    def peek(self) -> bytes:
        """All that is left."""
        return self._input

    def when_readable(self, action: Callable[[], None] | None) -> None:
        """There is always something to be read, or the end."""
        if action is not None:
            action()

    def take_line(self, limit: int) -> bytes | None:
        """A line; it never has to wait."""
        newline = self._input.find(b"\n", 0, limit)
        return self._take(limit if newline < 0 else newline + 1)

    def read_line(self, limit: int, timeout: float) -> Leaf:
        """Leaf: a line."""
        return self._leaf(self.take_line(limit))

    def read(self, limit: int, timeout: float) -> Leaf:
        """Leaf: some bytes."""
        return self._leaf(self._take(limit))

    @property
    def pending(self) -> int:
        """What is left."""
        return len(self._input)

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return not self._input

    def write(self, data: bytes) -> None:
        """Puts bytes out."""
        self.output += data

    write_sealed = write

    def confide(self) -> None:
        """There is nobody to confide in."""

    def unveil(self) -> None:
        """There is nothing that is veiled."""

    def cover(self, cipher: Cipher) -> None:
        """There is no TLS here: smtpd(8) does not offer STARTTLS."""
        raise NotImplementedError("TLS on standard input")

    def flush(self, timeout: float) -> Leaf:
        """Leaf: nothing has to be waited for."""
        return self._leaf(None)

    def close(self) -> None:
        """Nothing has to be done."""

    abort = close


class DropDestination:
    """A message for the maildrop queue."""

    def __init__(self, process: Process, user: Account) -> None:
        self.drop = Drop(process, user)
        self.message = CleanupMessage(self.drop.queue_id, 0)

    def finish(self) -> Wait[CleanupReply]:
        """Hands it over."""
        try:
            status = yield from self.drop.finish(self.message.records)
        except Fatal:
            status = None
        return CleanupReply(CLEANUP_STAT_WRITE if status is None else status)

    def abort(self) -> Wait[None]:
        """Gives it up."""
        self.drop.abort()
        return
        yield None


def stand_alone(cmd: Command) -> Wait[int]:
    """Serves the user until the input ends, or QUIT."""
    master = cmd.process.master
    process = master.new_process("smtpd")
    postdrop = master.new_process("postdrop")
    postdrop.log = CommandLog(
        process.system, postdrop.log.tag, postdrop.pid, "postdrop", cmd.output, quiet=False
    )
    postdrop.log.conf = postdrop.conf
    main_cf_read(process)
    stream = StandardStream(process.system, cmd.stdin)

    def greet() -> None:
        """Writes what was written before the first command was read: the other replies wait until
        all of the input was.
        """
        end = stream.output.find(b"\n") + 1
        cmd.write(stream.output[:end].decode("utf-8", "surrogateescape"))
        del stream.output[:end]

    def open_message(session: Session) -> Wait[Destination]:
        if not cmd.output:
            greet()
        return DropDestination(postdrop, cmd.user)
        yield None

    try:
        owner = process.system.accounts.by_name(process.conf.mail_owner)
        server = Server(process, keys=cmd.user.uid in (0, owner.uid if owner else 0))
        server.without_tls()
        yield from smtpd_service(server, stream, stand_alone=open_message)
    except Fatal:
        return 1
    except Crash as crash:  # what waits to be written is lost
        if not cmd.output:
            greet()
        stream.output.clear()
        return -crash.signal
    finally:
        cmd.write(stream.output.decode("utf-8", "surrogateescape"))
    return 0

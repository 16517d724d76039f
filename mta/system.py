"""The narrow door: all that the mail system knows of the machine that it runs on.

The daemons of :mod:`mta` are generators.  They meet the world only through the protocols of this
module.  ``sim.kernel`` implements them over SimPy; another implementation may use real sockets.

Three kinds of function, told apart by their look:

* a plain ``def`` cannot block;
* a *leaf* of this module is waited for with ``yield``: ``line = yield stream.read_line(...)``;
* code of ours that may block is a generator, called with ``yield from`` and typed ``-> Wait[T]``.

Units: durations are seconds (``int`` or ``float``) everywhere in ``mta``; moments are integer
microseconds since the epoch.  Exceptions take positional arguments only, since SimPy rebuilds them
as ``type(error)(*error.args)``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

T = TypeVar("T")

#: What a generator of ours is: it yields leaves of the world and returns a T.
Wait = Generator[Any, Any, T]

#: The opaque thing that a leaf returns; ``yield`` it to wait for its value.
Leaf = Any

MICROSECONDS = 1_000_000


class TimedOut(Exception):
    """Nothing came (or nothing could be sent) within the time limit of a leaf."""


class Gone(Exception):
    """The other side of a stream reset the connection, or a service's process died."""


class ConnectError(Exception):
    """A connection could not be made.  ``args[0]`` is the errno's text (``Connection refused``)."""


class Fatal(Exception):
    """The process that raised it has logged ``fatal: args[0]`` and ends with exit status 1."""


class Panic(Exception):
    """The process that raised it has logged ``panic: args[0]`` and ends by a signal (SIGABRT)."""


class Inet(NamedTuple):
    """An internet endpoint: numeric address (IPv4 or IPv6, no brackets) and port."""

    host: str
    port: int


class Unix(NamedTuple):
    """A local endpoint: the absolute path of a UNIX-domain socket."""

    path: str


Endpoint = Inet | Unix


class Interface(NamedTuple):
    """An address of the machine and its prefix length in bits."""

    address: str
    prefix: int


class Cipher(Protocol):
    """What a stream passes its bytes through on their way to and from the wire: TLS.

    ``ended``: the other side has said that nothing more will come.  ``broken``: why nothing more
    can be read (also by an end of the wire that was not announced), or empty.
    """

    ended: bool
    broken: str

    def encrypt(self, plain: bytes) -> bytes:
        """What goes to the wire for a text."""

    def decrypt(self, wire: bytes) -> bytes:
        """The text of what came from the wire, as far as it is complete."""

    def reply(self) -> bytes:
        """What the protocol itself has to say now; it goes to the wire at once."""

    def farewell(self) -> bytes:
        """What tells the other side that nothing more will come; empty where it cannot be said."""

    def end(self) -> None:
        """The wire has ended: sets ``ended`` or ``broken``."""

    def failed(self) -> None:
        """A reader has just met with ``broken``."""


class Stream(Protocol):
    """A connected, ordered stream of bytes."""

    local: Endpoint
    remote: Endpoint

    def take_line(self, limit: int) -> bytes | None:
        """What ``read_line`` would return at once, or None when it would have to wait."""

    def read_line(self, limit: int, timeout: float) -> Leaf:
        """Leaf: bytes up to and including the next LF, or ``limit`` bytes where there is none
        among them, or what was left before the end of the stream; ``b""`` at the end.
        Raises TimedOut, Gone.
        """

    def read(self, limit: int, timeout: float) -> Leaf:
        """Leaf: 1 to ``limit`` bytes as they come; ``b""`` at the end.  Raises TimedOut, Gone."""

    @property
    def pending(self) -> int:
        """How many bytes have arrived and are not read yet."""

    @property
    def at_end(self) -> bool:
        """Whether the other side is known to have closed and nothing is left to read."""

    def peek(self) -> bytes:
        """What has arrived and is not read yet; it stays there."""

    def when_readable(self, action: Callable[[], None] | None) -> None:
        """Calls a plain function once, when there is something to read, or the end, or a reset;
        None takes that back.
        """

    def write(self, data: bytes) -> None:
        """Buffers bytes.  They leave with ``flush``.  Never fails."""

    def flush(self, timeout: float) -> Leaf:
        """Leaf: sends what was written; the value is None.  Raises TimedOut, Gone (also when the
        other side has closed for good and said so by a reset).
        """

    def write_sealed(self, data: bytes) -> None:
        """As ``write``, for bytes that are chance to who watches: those of a handshake."""

    def confide(self) -> None:
        """A promise: from now on nothing leaves in the clear but what opens a session and ends it.
        Whoever is on the other side of the door may hold us to it.
        """

    def unveil(self) -> None:
        """A handshake begins to read.  Before that, bytes of a handshake or of a cipher need not
        be what they are: they make no sense to who expects text.
        """

    def cover(self, cipher: Cipher) -> None:
        """From now on, what is read and written is plain text, and what travels is what the cipher
        makes of it.  What came and was not read yet is the cipher's.  Nothing may wait to be sent.
        """

    def close(self) -> None:
        """Sends what was written and ends the connection in good order.  May be called twice."""

    def abort(self) -> None:
        """Ends the connection with a reset."""


class Network(Protocol):
    """The network as a process sees it."""

    def interfaces(self) -> Sequence[Interface]:
        """The addresses of this machine, loopback included, in a fixed order."""

    def connect(self, remote: Endpoint, timeout: float, source: str = "") -> Leaf:
        """Leaf: a Stream.  ``source`` is the local address to bind, ``""`` for any.
        Raises ConnectError (refused, unreachable, no such socket), TimedOut.
        """

    def listen(
        self, endpoint: Endpoint, handler: Callable[[Stream], Wait[None]]
    ) -> Callable[[], None]:
        """Serves each connection to the endpoint in a task of its own; returns what ends this.
        The host ``""`` means all addresses.  Raises OSError (address in use).
        """

    def exchange(self, server: Inet, packet: bytes, timeout: float) -> Leaf:
        """Leaf: the first datagram that comes back for one datagram sent.
        Raises TimedOut, ConnectError (ICMP port unreachable).
        """


class File(Protocol):
    """An open file or inode.  It stays the same through renames, as a descriptor does."""

    data: bytearray
    mode: int
    uid: int
    gid: int
    mtime: int  #: microseconds since the epoch
    nlink: int
    inode: int  #: the file's number, of which queue ids are made


class Stat(NamedTuple):
    """What stat(2) says; times in microseconds since the epoch."""

    size: int
    mode: int
    uid: int
    gid: int
    mtime: int
    is_dir: bool


class Files(Protocol):
    """The disk.  Paths are absolute text.  All may raise OSError with errno and strerror set."""

    def open(self, path: str) -> File:
        """An existing file."""

    def create(self, path: str, mode: int = 0o644, uid: int = 0, gid: int = 0) -> File:
        """A new empty file; FileExistsError where there is one."""

    def read(self, path: str) -> bytes:
        """The content of a file."""

    def write(self, path: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """Replaces or makes a file."""

    def append(self, path: str, data: bytes, mode: int = 0o600, uid: int = 0, gid: int = 0) -> None:
        """Appends to a file, which is made where there is none."""

    def touch(self, file: File, mtime: int) -> None:
        """Sets the modification time (microseconds since the epoch)."""

    def rename(self, old: str, new: str) -> None:
        """rename(2): replaces ``new``."""

    def remove(self, path: str) -> None:
        """unlink(2)."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory."""

    def stat(self, path: str) -> Stat:
        """stat(2)."""

    def scan(self, path: str) -> list[str]:
        """The names in a directory as a file system in memory has them (readdir(3)): those that
        came last come first.
        """

    def list(self, path: str) -> list[str]:
        """The names in a directory, sorted."""

    def mkdir(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Makes a directory with its parents; quiet where it exists."""

    def watch(self, path: str, action: Callable[[str], None]) -> None:
        """Calls a plain function once, when the next name appears in a directory or below it; it
        gets the name.
        """

    def sync(self, file: File) -> Leaf:
        """Leaf: fsync(2).  Raises OSError (ENOSPC, EIO)."""

    def free_space(self) -> int:
        """Bytes that are free on the file system of the queue."""


class Account(NamedTuple):
    """An entry of passwd(5)."""

    name: str
    uid: int
    gid: int
    gecos: str
    home: str
    shell: str


class Accounts(Protocol):
    """passwd(5) and group(5)."""

    def by_name(self, name: str) -> Account | None:
        """getpwnam(3)."""

    def by_uid(self, uid: int) -> Account | None:
        """getpwuid(3)."""

    def group(self, name: str) -> int | None:
        """getgrnam(3): the group's number."""


class ProgramResult(NamedTuple):
    """How an external command ended: exit status, or minus a signal's number; what it printed."""

    status: int
    output: bytes


class Programs(Protocol):
    """External commands.  They are simulated: none is ever run on the real machine."""

    def exists(self, path: str) -> bool:
        """Whether there is an executable of that absolute path."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes,
        env: Mapping[str, str],
        cwd: str,
        uid: int,
        gid: int,
        timeout: float,
        note: Mapping[str, Any] | None = None,
    ) -> Leaf:
        """Leaf: a ProgramResult.  ``note`` is for the record of the run (sender, recipients).
        Raises TimedOut; OSError where the program does not exist.
        """


class Dice(Protocol):
    """A named stream of chance; the same for the same seed whatever else happens."""

    def randrange(self, stop: int) -> int:
        """0 <= n < stop."""

    def random(self) -> float:
        """0.0 <= x < 1.0."""

    def shuffle(self, items: list[Any]) -> None:
        """Shuffles in place."""


class Signal(Protocol):
    """A one-shot event between tasks of the mail system."""

    def set(self, value: Any = None) -> None:
        """Wakes all who wait.  Setting it twice is an error."""

    def wait(self, timeout: float | None = None, idle: bool = False) -> Leaf:
        """Leaf: the value that was set.  Raises TimedOut.  An ``idle`` wait does not keep the world
        from being idle: nothing moves before somebody else moves.
        """

    @property
    def is_set(self) -> bool:
        """Whether it was set."""


class Timer(Protocol):
    """A call in the future that can be taken back."""

    def cancel(self) -> None:
        """Takes it back; quiet when it has happened."""


class DecisionSink(Protocol):
    """Who listens to decisions."""

    def __call__(self, kind: str, facts: Mapping[str, Any]) -> None:
        """One decision: its kind (``restriction``, ``table``, ``resolve``, …) and its facts."""


class System(Protocol):
    """The machine."""

    hostname: str
    nameservers: Sequence[Inet]
    timezone: int  #: minutes east of UTC
    decisions: DecisionSink | None  #: None while nobody listens; ask before you build the facts

    @property
    def files(self) -> Files:
        """The disk."""

    @property
    def network(self) -> Network:
        """The network."""

    @property
    def accounts(self) -> Accounts:
        """The accounts."""

    @property
    def programs(self) -> Programs:
        """The external commands."""

    def now(self) -> int:
        """Microseconds since the epoch."""

    def dice(self, name: str) -> Dice:
        """The stream of chance of that name."""

    def sleep(self, seconds: float) -> Leaf:
        """Leaf: waits."""

    def signal(self) -> Signal:
        """A new one-shot event."""

    def spawn(self, task: Wait[Any], name: str) -> None:
        """Starts a foreground task.  The world is idle when no foreground task is left; what a
        daemon only does again later (wake-ups, retries) belongs to ``after``.  Fatal and Panic that
        leave a task are quiet; any other exception is a defect of ours and stops the run.
        """

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Calls a plain function later.  It does not keep the world from being idle."""

    def syslog(self, tag: str, pid: int, text: str) -> None:
        """One line of the mail log; tag as in ``postfix/smtpd``.  A pid of 0 is not shown."""


def never(_: object) -> NoReturn:
    """For branches that cannot be reached."""
    raise AssertionError("unreachable")


@dataclass(slots=True)
class Box:
    """A mutable cell, for results that a callback leaves behind."""

    value: Any = None

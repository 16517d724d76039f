"""TLS over a stream: OpenSSL with memory BIOs, which knows nothing of sockets.

:class:`TlsConnection` is one side of a connection.  :meth:`~TlsConnection.handshake` does the
handshake over a stream; then the stream is covered by it, and what is read and written is plain
text.  Certificates are judged at the moment that ``now`` tells, by the verification of OpenSSL.

Ciphertext is chance: OpenSSL draws its own.  Sizes are the same in every run, as long as no session
tickets are issued and no ECDSA or DSA keys sign.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from mta.system import Gone, Stream, TimedOut, Wait
from mta.wire.tls_errors import UNEXPECTED_EOF, LibraryError, library_errors

_CHUNK = 32768
_LIB: Any = Binding().lib

#: What a broken connection says to who reads or writes.
PROTOCOL_ERROR = "Protocol error"


class HandshakeFailed(Exception):
    """A handshake came to nothing.

    ``args[0]`` is the text of the system's error (``Connection timed out``, ``Connection reset by
    peer``), empty where the library complains; ``args[1]`` are the library's complaints.
    """

    @property
    def reason(self) -> str:
        """The text of the system's error, or empty."""
        return str(self.args[0])

    @property
    def errors(self) -> list[LibraryError]:
        """What the library complains about."""
        found: list[LibraryError] = self.args[1]
        return found


class TlsConnection:
    """One side of a TLS connection; a :class:`mta.system.Cipher`."""

    __slots__ = (
        "_now",
        "_unsent",
        "broken",
        "connection",
        "ended",
        "errors",
        "on_failure",
        "ragged",
        "tamper",
    )

    def __init__(
        self,
        connection: SSL.Connection,
        now: Callable[[], int] | None = None,
        *,
        ragged: bool = False,
    ) -> None:
        """``connection`` is without a socket, in accept or connect state.  ``now`` tells the time
        (microseconds since the epoch) at which certificates are judged, if they are.  With
        ``ragged`` an end of the wire without a word before is as good as one that was announced.
        """
        self.connection = connection
        self.ended = False
        self.broken = ""
        self.errors: list[LibraryError] = []  #: why it is broken
        self.on_failure: Callable[[TlsConnection], None] | None = None  #: when a reader hears of it
        #: What becomes of our bytes before they go to the wire (for sides that do evil).
        self.tamper: Callable[[bytes], bytes] | None = None
        self.ragged = ragged
        self._now = now
        self._unsent = b""  #: text that waits for the end of another handshake

    # -- the handshake ------------------------------------------------------------------------

    def handshake(
        self,
        stream: Stream,
        timeout: float,
        *,
        clock: Callable[[], int] | None = None,
        wire: bytes = b"",
    ) -> Wait[None]:
        """Does the handshake; each wait lasts ``timeout`` seconds at most (0: for ever), or all of
        them together where ``clock`` tells the time in microseconds.  ``wire`` came already.

        After it the stream is to be covered with this connection.  Raises HandshakeFailed.
        """
        limit = clock() + int(timeout * 1_000_000) if clock is not None and timeout else 0
        stream.unveil()
        while True:
            done = False
            try:
                done = self.step(wire)
            except HandshakeFailed:
                stream.write_sealed(self.reply())
                yield from _send(stream, timeout)
                raise
            stream.write_sealed(self.reply())
            try:
                yield stream.flush(timeout)
                if done:
                    return
                if clock is not None and limit:
                    timeout = -(-(limit - clock()) // 1_000_000)
                    if timeout <= 0:
                        raise TimedOut
                wire = yield stream.read(_CHUNK, timeout)
            except TimedOut:
                raise HandshakeFailed("Connection timed out", []) from None
            except Gone as gone:
                raise HandshakeFailed(str(gone), []) from None
            if not wire:
                self.connection.bio_shutdown()

    def step(self, wire: bytes) -> bool:
        """Goes on with the handshake after some bytes from the wire; whether it is done.

        What is to be sent is in ``reply``.  Raises HandshakeFailed.
        """
        connection = self.connection
        if wire:
            connection.bio_write(wire)
        if self._now is not None:
            set_time(connection, self._now())
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.SysCallError:
            raise HandshakeFailed("", [UNEXPECTED_EOF]) from None
        except SSL.Error as error:
            raise HandshakeFailed("", library_errors(_queue(error))) from None
        return True

    # -- the cipher ---------------------------------------------------------------------------

    def encrypt(self, plain: bytes) -> bytes:
        """What goes to the wire for a text."""
        if self._unsent:
            plain, self._unsent = self._unsent + plain, b""
        connection, sent = self.connection, 0
        try:
            sent = connection.send(plain) if plain else 0
            while sent < len(plain):
                sent += connection.send(plain[sent:])
        except SSL.WantReadError:
            self._unsent = plain[sent:]
        except SSL.Error:
            return b""  # it is broken, or we have ended; the reader hears of it
        return self.reply()

    def decrypt(self, wire: bytes) -> bytes:
        """The text of what came from the wire, as far as it is complete."""
        connection = self.connection
        if wire:
            connection.bio_write(wire)
        recv = connection.recv
        plain = b""
        try:
            plain = recv(_CHUNK)
            while True:
                plain += recv(_CHUNK)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.ended = True
        except SSL.SysCallError:
            self._break([UNEXPECTED_EOF])
        except SSL.Error as error:
            self._break(library_errors(_queue(error)))
        if self._unsent:
            self._go_on()
        return plain

    def _go_on(self) -> None:
        """Encrypts what waited, as far as that is possible now; ``reply`` has it."""
        connection = self.connection
        try:
            while self._unsent:
                self._unsent = self._unsent[connection.send(self._unsent) :]
        except SSL.Error:
            pass

    def reply(self) -> bytes:
        """What is to go to the wire."""
        read = self.connection.bio_read
        try:
            data = read(_CHUNK)
        except SSL.WantReadError:
            return b""
        if len(data) == _CHUNK:
            parts = [data]
            try:
                while True:
                    parts.append(read(_CHUNK))
            except SSL.WantReadError:
                data = b"".join(parts)
        return data if self.tamper is None else self.tamper(data)

    def end(self) -> None:
        """The wire has ended."""
        if self.ended:
            return
        if self.ragged:
            self.ended = True
        else:
            self._break([UNEXPECTED_EOF])

    def failed(self) -> None:
        """A reader has met with ``broken``."""
        if self.on_failure is not None:
            action, self.on_failure = self.on_failure, None
            action(self)

    def _break(self, errors: list[LibraryError]) -> None:
        self.errors = errors
        self.broken = PROTOCOL_ERROR

    # -- the end ------------------------------------------------------------------------------

    def farewell(self) -> bytes:
        """The word that we end (``close_notify``), if it can be said."""
        try:
            self.connection.shutdown()
        except SSL.Error:
            return b""
        return self.reply()

    # -- what came of it ----------------------------------------------------------------------

    @property
    def protocol(self) -> str:
        """The version: ``TLSv1.3``."""
        return self.connection.get_protocol_version_name()

    @property
    def reused(self) -> bool:
        """Whether an earlier session was resumed."""
        return bool(_LIB.SSL_session_reused(self.connection._ssl))


def set_time(connection: SSL.Connection, now: int) -> None:
    """The certificates of the other side are judged as of that moment (microseconds since the
    epoch).  ``X509Store.set_time`` would do it for all connections of a context, and only once.
    """
    parameters = _LIB.SSL_get0_param(connection._ssl)
    _LIB.X509_VERIFY_PARAM_set_time(parameters, now // 1_000_000)


def _send(stream: Stream, timeout: float) -> Wait[None]:
    """Sends last words, if that is possible."""
    try:
        yield stream.flush(timeout)
    except (TimedOut, Gone):
        pass


def _queue(error: SSL.Error) -> list[Any]:
    """The error queue in an exception of pyOpenSSL's."""
    return error.args[0] if error.args and isinstance(error.args[0], list) else []

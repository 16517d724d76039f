"""Authentication by a Dovecot server: the client side of its auth protocol, version 1.0.

``smtpd_sasl_path`` is its socket: a path in the queue directory, ``unix:path`` or
``inet:host:port``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mta.lib.inet_connect import inet_connect, unix_connect
from mta.lib.xsasl import (
    SERVER_TYPES,
    XSASL_AUTH_DONE,
    XSASL_AUTH_FAIL,
    XSASL_AUTH_MORE,
    ServerArguments,
)
from mta.system import ConnectError, Gone, Stream, TimedOut, Wait
from mta.util.name_mask import NameMaskError, Unknown, name_mask
from mta.wire.text import printable, to_bytes, to_text

if TYPE_CHECKING:
    from mta.master.server import Process

_MAJOR, _MINOR = 1, 0
_TIMEOUT = 10
_LINE_LIMIT = 1 << 20
_BASE64 = re.compile(r"[0-9A-Za-z+/=]*")

_MUTUAL_AUTH = 1 << 1
_PRIVATE = 1 << 2
_FORWARD_SECRECY = 1 << 3
_POSITIVE = _MUTUAL_AUTH | _FORWARD_SECRECY

#: Properties of mechanisms as Dovecot names them.
_SERVER_PROPERTIES = {
    "mutual-auth": _MUTUAL_AUTH,
    "private": _PRIVATE,
    "anonymous": 1 << 4,
    "plaintext": 1 << 5,
    "active": 1 << 6,
    "dictionary": 1 << 7,
    "forward-secrecy": _FORWARD_SECRECY,
}
#: What smtpd_sasl_security_options asks for or forbids.
_OPTIONS = {
    "noanonymous": 1 << 4,
    "noplaintext": 1 << 5,
    "noactive": 1 << 6,
    "nodictionary": 1 << 7,
    "forward_secrecy": _FORWARD_SECRECY,
    "mutual_auth": _MUTUAL_AUTH,
}


class DovecotImpl:
    """The connection of a process to the auth server."""

    def __init__(self, process: Process, path: str) -> None:
        self.process = process
        self.path = path
        self.stream: Stream | None = None
        self.mechanisms: list[tuple[str, int]] = []
        self.request_id = 0

    def create(self, arguments: ServerArguments) -> DovecotServer:
        """For one client.  Logs a fatal error, and raises Fatal, where the options are wrong."""
        try:
            options = name_mask(
                "xsasl_dovecot_server_create", _OPTIONS, arguments.security_options, any_case=True
            )
        except NameMaskError as error:
            self.process.log.fatal(error.args[0])
        return DovecotServer(self, arguments, options)

    def connect(self) -> Wait[bool]:
        """Makes the connection and learns the mechanisms; whether that went well."""
        log = self.process.log
        path = self.path
        try:
            if path.startswith("inet:"):
                stream = yield from inet_connect(self.process, path[5:], _TIMEOUT)
            else:
                stream = yield from unix_connect(self.process, path.removeprefix("unix:"), _TIMEOUT)
        except ConnectError as error:
            log.warning(f"SASL: Connect to {path} failed: {error.args[0]}")
            return False
        stream.write(f"VERSION\t{_MAJOR}\t{_MINOR}\nCPID\t{self.process.pid}\n".encode())
        try:
            yield stream.flush(_TIMEOUT)
        except (TimedOut, Gone):
            log.warning("SASL: Couldn't send handshake: Broken pipe")
            return False
        self.stream = stream
        if not (yield from self._handshake()):
            self.disconnect()
            return False
        return True

    def _handshake(self) -> Wait[bool]:
        warning = self.process.log.warning
        seen = False
        while (line := (yield from self.read_line())) is not None:
            command, _, rest = line.partition("\t")
            if command == "VERSION":
                numbers = re.match(r"(\d+)\t(\d+)", rest)
                if numbers is None:
                    warning("SASL: Protocol version error")
                    return False
                if int(numbers[1]) != _MAJOR:
                    warning(f"SASL: Protocol version mismatch ({numbers[1]} vs. {_MAJOR})")
                    return False
            elif command == "MECH" and rest:
                seen = True
                name, _, words = rest.partition("\t")
                mask = name_mask(
                    "", _SERVER_PROPERTIES, words, any_case=True, unknown=Unknown.IGNORE,
                    separators="\t",
                )  # fmt: skip
                if not mask & _PRIVATE:
                    self.mechanisms.append((name, mask))
            elif command == "SPID" and not seen:
                warning("SASL: Connected to wrong auth socket (auth-master instead of auth-client)")
                return False
            elif command == "DONE":
                return True
        return False

    def disconnect(self) -> None:
        """Ends the connection."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None
        self.mechanisms = []

    def read_line(self) -> Wait[str | None]:
        """A line of the server, or None where it is gone or silent."""
        if self.stream is None:
            return None
        try:
            data: bytes = yield self.stream.read_line(_LINE_LIMIT, _TIMEOUT)
        except (TimedOut, Gone):
            return None
        return to_text(data[:-1]) if data.endswith(b"\n") else None

    def send(self, line: str) -> Wait[bool]:
        """Sends a line; whether that went well."""
        if self.stream is None:
            return False
        self.stream.write(to_bytes(line) + b"\n")
        try:
            yield self.stream.flush(_TIMEOUT)
        except (TimedOut, Gone):
            return False
        return True


class DovecotServer:
    """The authentication of one client."""

    def __init__(self, impl: DovecotImpl, arguments: ServerArguments, options: int) -> None:
        self.impl = impl
        self.arguments = arguments
        self.options = options
        self.username: str | None = None
        self._mechanisms: list[str] = []
        self._id = 0

    def mechanism_list(self) -> Wait[str]:
        """The mechanisms that the security options leave."""
        if self.impl.stream is None and not (yield from self.impl.connect()):
            return ""
        wanted = self.options & _POSITIVE
        forbidden = self.options & ~_POSITIVE
        self._mechanisms = [
            name
            for name, properties in self.impl.mechanisms
            if properties & wanted == wanted and not properties & forbidden
        ]
        return " ".join(self._mechanisms)

    def first(self, method: str, initial: str | None) -> Wait[tuple[str, str]]:
        """Begins."""
        if method.upper() not in (name.upper() for name in self._mechanisms):
            return XSASL_AUTH_FAIL, "Invalid authentication mechanism"
        if initial is not None and not _BASE64.fullmatch(initial):
            return XSASL_AUTH_FAIL, "Invalid base64 data in initial response"
        impl = self.impl
        told = self.arguments
        for _ in range(2):
            if impl.stream is None and not (yield from impl.connect()):
                return XSASL_AUTH_FAIL, ""
            impl.request_id += 1
            self._id = impl.request_id
            line = (
                f"AUTH\t{self._id}\t{method}\tservice={told.service}\tnologin"
                f"\tlip={told.server_addr}\trip={told.client_addr}"
            )
            if told.tls:
                line += "\tsecured"
            if initial is not None:
                line += f"\tresp={initial}"
            if (yield from impl.send(line)):
                return (yield from self._answer())
            impl.disconnect()
        return XSASL_AUTH_FAIL, "Can't connect to authentication server"

    def next(self, response: str) -> Wait[tuple[str, str]]:
        """Goes on."""
        if not _BASE64.fullmatch(response):
            return XSASL_AUTH_FAIL, "Invalid base64 data in continued response"
        if not (yield from self.impl.send(f"CONT\t{self._id}\t{response}")):
            return XSASL_AUTH_FAIL, "Connection lost to authentication server"
        return (yield from self._answer())

    def _answer(self) -> Wait[tuple[str, str]]:
        while (line := (yield from self.impl.read_line())) is not None:
            command, *words = line.split("\t")
            if command not in ("OK", "CONT", "FAIL"):
                continue
            if not words:
                self.impl.process.log.warning("SASL: Protocol error")
                continue
            if words[0] != str(self._id):
                continue
            if command == "CONT":
                return XSASL_AUTH_MORE, "\t".join(words[1:])
            reason = ""
            self.username = None
            for word in words[1:]:
                if word.startswith("user="):
                    self.username = printable(word[5:])
                elif word.startswith("reason="):
                    reason = printable(word[7:])
            return (XSASL_AUTH_DONE, "") if command == "OK" else (XSASL_AUTH_FAIL, reason)
        self.impl.disconnect()
        return XSASL_AUTH_FAIL, "Connection lost to authentication server"


SERVER_TYPES["dovecot"] = DovecotImpl

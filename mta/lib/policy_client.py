"""The client of policy servers (SMTPD_POLICY_README): attr_clnt(3) over auto_clnt(3).

A request is a list of ``name=value`` lines and an empty line; so is the answer, of which the
attribute ``action`` counts.  The connection is used for many requests, also of later sessions.

DIAGNOSTICS

    warning: connect to 127.0.0.1:9998: Connection refused
    warning: problem talking to server 127.0.0.1:9998: Connection timed out
    warning: premature end-of-input on 127.0.0.1:9998 while reading input attribute value
    warning: missing attribute action in input from 127.0.0.1:9998

CONFIGURATION PARAMETERS
    Each is also an option in ``{ inet:host:port, name=value ... }``, there without the prefix
    ``smtpd_policy_service_``: smtpd_policy_service_default_action, smtpd_policy_service_max_idle,
    smtpd_policy_service_max_ttl, smtpd_policy_service_request_limit,
    smtpd_policy_service_retry_delay, smtpd_policy_service_timeout, smtpd_policy_service_try_limit
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from mta.conf.errors import ConfError
from mta.conf.kinds import check_number, check_time
from mta.lib.inet_connect import inet_connect, unix_connect
from mta.system import MICROSECONDS, ConnectError, Gone, Stream, TimedOut, Wait
from mta.util.scalars import (
    conv_time,
    extract_parens,
    parse_int,
    split_at_commas,
    split_name_value,
    split_quoted,
)
from mta.wire.text import c_string, to_bytes, to_text

if TYPE_CHECKING:
    from mta.master.server import Process

_TIMES = {"timeout": "s", "max_idle": "s", "max_ttl": "s", "retry_delay": "s"}
_NUMBERS = {"request_limit": 0, "try_limit": 1}  #: and the least that they may be
_BUFFER = 4096
#: Failures that a server's restart explains, so that the first one is not worth a warning.
_EXPECTED = ("", "Broken pipe", "No such file or directory", "Connection reset by peer")
_TIMED_OUT = "Connection timed out"
_SUCCESS = "Success"


class _Failed(Exception):
    """A request that got no answer; ``args[0]`` is the errno's text, empty for none."""


class PolicyOptions:
    """The settings of one server; times in seconds."""

    def __init__(self, process: Process) -> None:
        conf = process.conf
        self.default_action: str = conf.smtpd_policy_service_default_action
        self.max_idle: int = conf.smtpd_policy_service_max_idle
        self.max_ttl: int = conf.smtpd_policy_service_max_ttl
        self.request_limit: int = conf.smtpd_policy_service_request_limit
        self.retry_delay: int = conf.smtpd_policy_service_retry_delay
        self.timeout: int = conf.smtpd_policy_service_timeout
        self.try_limit: int = conf.smtpd_policy_service_try_limit

    def override(self, process: Process, text: str) -> None:
        """Options in a ``{...}``.  Logs a fatal error, and raises Fatal, for what is none."""
        fatal = process.log.fatal
        for word in split_quoted(text):
            if word.startswith("{"):
                word, error = extract_parens(word)
                if error:
                    fatal(f'{error} in "{word}"')
            pair = split_name_value(word)
            if isinstance(pair, str):
                fatal(f'malformed option: {pair}: "...{word}..."')
            name, value = pair
            try:
                setattr(self, name, _option(process, name, value))
            except ConfError as error:
                fatal(error.args[0])


def _option(process: Process, name: str, value: str) -> str | int:
    """The value of an option.  Raises ConfError, Fatal."""
    if name == "default_action":
        if not value:
            raise ConfError(f"bad string length 0 < 1: {name} = ")
        return value
    if name in _NUMBERS:
        number = parse_int(value)
        if number is None:
            raise ConfError(f"bad numerical configuration: {name} = {value}")
        return check_number(name, number, _NUMBERS[name], 0)
    if name in _TIMES:
        seconds = conv_time(value, _TIMES[name])
        if seconds is None:
            raise ConfError(f"{name}: bad time value or unit: {value}")
        return check_time(name, seconds, 1, 0)
    raise ConfError(f'unknown option: "{name} = {value}"')


class PolicyClient:
    """The connection of a process to one policy server."""

    def __init__(self, process: Process, name: str, options: PolicyOptions) -> None:
        """Logs a fatal error, and raises Fatal, where the name is no ``transport:endpoint``."""
        self.process = process
        self.options = options
        transport, _, endpoint = name.partition(":")
        if not transport or not endpoint:
            process.log.fatal(f'need service transport:endpoint instead of "{name}"')
        if transport not in ("inet", "local", "unix"):
            process.log.fatal(f"invalid transport name: {transport} in service: {name}")
        self.transport = transport
        self.endpoint = endpoint
        self._stream: Stream | None = None
        self._buffer = b""
        self._broken = False  #: an operation on the connection has failed
        self._requests = 0
        self._owner: Any = None
        self._opened = 0
        self._used = 0

    def request(self, attributes: Sequence[tuple[str, str]], owner: Any) -> Wait[str | None]:
        """The action for a request; None where the server gives none after ``try_limit`` attempts.

        ``owner`` is the session: between sessions a connection is given up that was idle or old for
        too long, or that the server has closed.
        """
        query = to_bytes("".join(f"{name}={value}\n" for name, value in attributes) + "\n")
        if owner is not self._owner:
            self._owner = owner
            self._expire()
        options = self.options
        count = 0
        while True:
            try:
                action = yield from self._ask(query)
            except _Failed as failed:
                errno = failed.args[0]
            else:
                self._requests += 1
                if 0 < options.request_limit <= self._requests:
                    self.close()
                return action
            count += 1
            last = 0 < options.try_limit <= count
            if last or errno not in _EXPECTED:
                self.process.log.warning(
                    f"problem talking to server {self.endpoint}: {errno or _SUCCESS}"
                )
            if last:
                return None
            yield self.process.system.sleep(options.retry_delay)
            self.close()

    def close(self) -> None:
        """Gives the connection up."""
        stream, self._stream = self._stream, None
        self._buffer = b""
        self._broken = False
        self._requests = 0
        if stream is not None:
            stream.close()

    def _expire(self) -> None:
        stream = self._stream
        if stream is None:
            return
        now = self.process.now()
        idle = now - self._used >= self.options.max_idle * MICROSECONDS
        old = now - self._opened >= self.options.max_ttl * MICROSECONDS
        if idle or old or stream.pending or stream.at_end:
            self.close()

    def _connect(self) -> Wait[Stream]:
        """The connection.  Raises _Failed, after a warning."""
        self._used = self.process.now()
        if self._stream is not None:
            return self._stream
        timeout = self.options.timeout
        try:
            if self.transport == "inet":
                stream = yield from inet_connect(self.process, self.endpoint, timeout)
            else:
                stream = yield from unix_connect(self.process, self.endpoint, timeout)
        except ConnectError as error:
            self.process.log.warning(f"connect to {self.endpoint}: {error.args[0]}")
            raise _Failed(error.args[0]) from None
        self._stream = stream
        self._opened = self.process.now()
        return stream

    def _ask(self, query: bytes) -> Wait[str]:
        """One attempt.  Raises _Failed."""
        stream = yield from self._connect()
        if self._broken or stream.pending or stream.at_end:
            raise _Failed("")
        stream.write(query)
        try:
            yield stream.flush(self.options.timeout)
        except (Gone, TimedOut) as error:
            raise _Failed(self._failure(error)) from None
        return (yield from self._answer(stream))

    # -- the answer (attr_scan_plain(3))

    def _answer(self, stream: Stream) -> Wait[str]:
        """Reads up to the empty line.  Raises _Failed."""
        if not self._buffer:
            errno = yield from self._fill(stream)
            if errno is not None:
                raise _Failed(errno)
        action: str | None = None
        while True:
            line = yield from self._line(stream, action is None)
            name, equals, value = line.partition(b"=")
            if not line:
                if action is None:
                    self._complain(f"missing attribute action in input from {self.endpoint}")
                return action
            if action is None and c_string(name) == b"action":
                if not equals:
                    self._complain(
                        f"missing value for string attribute action from {self.endpoint}"
                    )
                action = to_text(c_string(value))

    def _complain(self, text: str) -> NoReturn:
        """Warns and gives up.  Raises _Failed."""
        self.process.log.warning(text)
        raise _Failed("")

    def _line(self, stream: Stream, wanted: bool) -> Wait[bytes]:
        """The next line without its end; ``wanted``: the action has not come yet.
        Raises _Failed, after a warning, where there is none.
        """
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                return line
            errno = yield from self._fill(stream)
            if errno is not None:
                break
        name, equals, _ = self._buffer.partition(b"=")
        self._buffer = b""
        inside = wanted and equals and c_string(name) == b"action"
        what = "input attribute value" if inside else "input attribute name"
        problem = "timeout" if errno == _TIMED_OUT else "premature end-of-input"
        self.process.log.warning(f"{problem} on {self.endpoint} while reading {what}")
        raise _Failed(errno)

    def _fill(self, stream: Stream) -> Wait[str | None]:
        """Reads more; the errno's text, empty at the end of the stream, where there is none."""
        try:
            data = yield stream.read(_BUFFER, self.options.timeout)
        except (Gone, TimedOut) as error:
            return self._failure(error)
        if not data:
            return ""
        self._buffer += data
        return None

    def _failure(self, error: Gone | TimedOut) -> str:
        """The errno's text for what went wrong with the connection, which is of no more use."""
        self._broken = True
        return str(error.args[0]) if isinstance(error, Gone) else _TIMED_OUT


def policy_client_create(process: Process, word: str) -> PolicyClient:
    """The client for ``inet:host:port``, ``unix:path`` or ``{ server, option=value ... }``.
    Logs a fatal error, and raises Fatal, where that is malformed.
    """
    options = PolicyOptions(process)
    if not word.startswith("{"):
        return PolicyClient(process, word, options)
    inner, error = extract_parens(word)
    if error:
        process.log.fatal(f"policy service syntax error: {inner}")
    names = split_at_commas(inner)
    if not names:
        process.log.fatal(f'empty policy service: "{word}"')
    name = names[0]
    options.override(process, inner[inner.index(name) + len(name) :])
    return PolicyClient(process, name, options)

"""The dialogue of postscreen(8): no mail gets through, and what the client does wrong is noted
(postscreen_smtpd.c, postscreen_starttls.c).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from mta.dict.errors import TableError
from mta.lib.tls_proxy import TlsproxyReply, TlsproxyRequest
from mta.postscreen.reply import soften
from mta.postscreen.state import BARLF, DEEP, NSMTP, PIPEL, PREGR, STAMP_DISABLED, Action, State
from mta.system import Gone, TimedOut, Wait
from mta.util.escape import escape
from mta.wire.ehlo_mask import EHLO_MASK_SILENT, EHLO_MASK_STARTTLS, str_ehlo_mask
from mta.wire.header_opts import is_header
from mta.wire.text import c_string, printable, to_bytes, to_text

if TYPE_CHECKING:
    from mta.postscreen.screen import Screen

_SECOND = 1_000_000
_BUFSIZE = 4096
_SHOWN = 100
_CR = 13
_LF = 10
_TLS_PROBLEM = "454 4.7.0 TLS not available due to local problem"


class _Over(Exception):
    """The session ends: with a reply, or without one where the client is gone."""


class Command(NamedTuple):
    """A command that there is: what it does, and whether it may come before STARTTLS."""

    action: Callable[[Dialogue, str], Wait[None]]
    pre_tls: bool = False


_COMMANDS: dict[str, Command] = {}


def _command(
    name: str, pre_tls: bool = False
) -> Callable[[Callable[[Dialogue, str], Wait[None]]], Callable[[Dialogue, str], Wait[None]]]:
    def register(
        action: Callable[[Dialogue, str], Wait[None]],
    ) -> Callable[[Dialogue, str], Wait[None]]:
        _COMMANDS[name] = Command(action, pre_tls)
        return action

    return register


class Dialogue:
    """One session after the greeting."""

    def __init__(self, screen: Screen, state: State) -> None:
        self.screen = screen
        self.state = state
        self.process = screen.process
        self.conf = screen.process.conf
        self._input = b""
        self._at = 0
        self._deadline = 0
        self._tls: TlsproxyReply | None = None

    def run(self) -> Wait[None]:
        """Greets the client and goes on to the end of the session."""
        screen, state = self.screen, self.state
        state.begin("tests after SMTP handshake", self.process.now())
        state.todo = state.todo & ~DEEP if state.closing else state.todo | DEEP
        if not state.failed & PREGR and not (yield from self.send(screen.greeting)):
            yield from screen.hangup(state)
            return
        self._set_deadline()
        try:
            while True:
                yield from self._one_command()
                self._set_deadline()
        except _Over as over:
            if over.args:
                yield from screen.drop(state, over.args[0])
            else:
                yield from screen.hangup(state)
        finally:
            if self._tls is not None and self._tls.finish is not None:
                self._tls.finish()

    def send(self, reply: str) -> Wait[bool]:
        """Sends a reply."""
        return (yield from self.screen.replies.send(self.state, reply))

    # -- input --------------------------------------------------------------------------------

    def _set_deadline(self) -> None:
        self._deadline = self.process.now() + self.screen.command_time_limit * _SECOND

    def _rest(self) -> bytes:
        """What has been read and is not looked at yet."""
        return self._input[self._at :]

    def _fill(self) -> Wait[None]:
        """Waits for input.  Raises _Over."""
        state = self.state
        remaining = (self._deadline - self.process.now()) / _SECOND
        try:
            if remaining <= 0:
                raise TimedOut
            self._input = yield state.peer.stream.read(_BUFSIZE, remaining)
        except TimedOut:
            self.process.log.info(f"COMMAND TIME LIMIT from {state.who} after {state.where}")
            raise _Over(self.screen.timeout_reply) from None
        except Gone:
            raise _Over from None
        if not self._input:
            raise _Over
        self._at = 0

    def _line(self) -> Wait[bytes]:
        """The next line without its end.  Raises _Over."""
        line = bytearray()
        limit = self.conf.line_length_limit
        while True:
            if self._at == len(self._input):
                yield from self._fill()
            byte = self._input[self._at]
            self._at += 1
            cr = line[-1:] == b"\r"
            if len(line) >= limit and not cr:
                state = self.state
                self.process.log.info(f"COMMAND LENGTH LIMIT from {state.who} after {state.where}")
                raise _Over(self.screen.busy_reply)
            if byte != _LF:
                line.append(byte)
            elif cr:
                return bytes(line[:-1])
            else:
                self._bare_newline(bytes(line))
                return bytes(line)

    def _bare_newline(self, line: bytes) -> None:
        """Raises _Over."""
        if self._open(BARLF):
            self.process.log.info(
                f"BARE NEWLINE from {self.state.who} after {escape(line[:_SHOWN])}"
            )
            self._failed(BARLF, "521 5.5.1 Protocol error")

    def _filtered(self, line: bytes) -> Wait[str]:
        """The command after ``postscreen_command_filter``."""
        text = to_text(c_string(line))
        table = self.screen.command_filter
        if table is None:
            return text
        key = text.lstrip(" \t")
        try:
            found = yield from table.lookup(key)
        except TableError:
            self.process.log.fatal(f'{table.name} lookup error for "{key[:_SHOWN]}"')
        if found is None:
            return text
        self.process.log.info(
            f'{self.state.who}: replacing command "{text[:_SHOWN]}" with "{found[:_SHOWN]}"'
        )
        return found

    # -- tests --------------------------------------------------------------------------------

    def _open(self, test: int) -> bool:
        """Whether a test has no result that is final."""
        state = self.state
        return bool(state.todo & test and not state.done & test)

    def _failed(self, test: int, drop_reply: str) -> None:
        """A test was failed.  Raises _Over."""
        state = self.state
        state.failed |= test
        state.passed &= ~test
        state.client.expires[test] = STAMP_DISABLED
        state.done |= test
        action = self.screen.actions[test]
        if action == Action.DROP:
            raise _Over(drop_reply)
        if action == Action.ENFORCE:
            state.enforce("550 5.5.1 Protocol error")
        else:
            state.ignore(test, self.process.now() // _SECOND + self.screen.min_ttl)

    def _pass_deep_tests(self) -> None:
        """A client that has come as far as RCPT has passed what it did not fail."""
        state, now = self.state, self.process.now() // _SECOND
        for test, ttl in self.screen.deep_ttl:
            if state.todo & test and not (state.passed | state.failed) & test:
                state.passed |= test
                state.client.expires[test] = now + ttl

    def _is_no_smtp(self, word: str) -> Wait[bool]:
        if is_header(word):
            return True
        forbidden = self.screen.forbidden
        return forbidden is not None and (yield from forbidden.match(word))

    # -- commands -----------------------------------------------------------------------------

    def _one_command(self) -> Wait[None]:
        """Reads a command and answers it.  Raises _Over."""
        state, log = self.state, self.process.log
        line = yield from self._line()
        text = (yield from self._filtered(line)).lstrip(" ")
        word, _, rest = text.partition(" ")
        name = word.upper()
        before, state.where = state.where, name if name in _NAMES else "UNIMPLEMENTED"
        if state.closing and name != "QUIT":
            raise _Over(state.final_reply)
        if name not in _NAMES and self._open(NSMTP) and (yield from self._is_no_smtp(word)):
            word = printable(word)
            log.info(
                f"NON-SMTP COMMAND from {state.who} after {before}: "
                f"{word[:_SHOWN]} {escape(to_bytes(rest)[:_SHOWN])[:_SHOWN]}"
            )
            self._failed(NSMTP, "521 5.7.0 Error: I can break rules, too. Goodbye.")
        if self._open(PIPEL) and self._rest():
            word = printable(word)
            log.info(
                f"COMMAND PIPELINING from {state.who} after {word[:_SHOWN]}: "
                f"{escape(self._rest()[:_SHOWN])}"
            )
            self._failed(PIPEL, "521 5.5.1 Protocol error")
        if name == "RCPT":
            self._pass_deep_tests()
        state.command_count += 1
        if state.command_count > self.conf.postscreen_command_count_limit and name != "QUIT":
            log.info(f"COMMAND COUNT LIMIT from {state.who} after {before}")
            raise _Over(self.screen.busy_reply)
        yield from self._answer(_COMMANDS.get(name), rest)

    def _answer(self, command: Command | None, rest: str) -> Wait[None]:
        if command is None:
            yield from self.send("502 5.5.2 Error: command not recognized")
        elif self.screen.enforce_tls and not self.state.using_tls and not command.pre_tls:
            yield from self.send("530 5.7.0 Must issue a STARTTLS command first")
        else:
            yield from command.action(self, rest)

    @_command("HELO", pre_tls=True)
    def _helo(self, rest: str) -> Wait[None]:
        state = self.state
        words = _words(rest)
        if not words:
            yield from self.send("501 Syntax: HELO hostname")
            return
        state.helo_name, state.sender = words[0], None
        yield from self.send(f"250 {self.conf.myhostname}")

    @_command("EHLO", pre_tls=True)
    def _ehlo(self, rest: str) -> Wait[None]:
        state = self.state
        words = _words(rest)
        if not words:
            yield from self.send("501 Syntax: EHLO hostname")
            return
        state.helo_name, state.sender, state.protocol = words[0], None, "ESMTP"
        mask = yield from self.screen.discard_mask(state.peer.client_address)
        if mask is None:
            mask = self.screen.ehlo_mask
        elif mask and not mask & EHLO_MASK_SILENT:
            address, port = state.peer.client_address, state.peer.client_port
            self.process.log.info(
                f"[{address}]{port}: discarding EHLO keywords: {str_ehlo_mask(mask)}"
            )
        if state.using_tls:
            mask |= EHLO_MASK_STARTTLS
        state.ehlo_discard_mask = mask
        yield from self.send(self.screen.ehlo_reply(mask))

    @_command("STARTTLS", pre_tls=True)
    def _starttls(self, rest: str) -> Wait[None]:
        state, screen = self.state, self.screen
        if _words(rest):
            yield from self.send("501 Syntax: EHLO hostname")
        elif state.using_tls:
            yield from self.send("554 5.5.1 Error: TLS already active")
        elif not screen.use_tls or state.ehlo_discard_mask & EHLO_MASK_STARTTLS:
            yield from self.send("502 5.5.1 Error: command not implemented")
        else:
            yield from self._start_tls()

    def _start_tls(self) -> Wait[None]:
        """Raises _Over where the handshake fails."""
        state, service = self.state, self.conf.tlsproxy_service_name
        request = TlsproxyRequest(
            state.peer.stream,
            state.who,
            self.screen.normal_command_time_limit,
            "smtpd",
            ready=lambda: self.send("220 2.0.0 Ready to start TLS"),
        )
        try:
            reply: TlsproxyReply = yield from self.process.call(service, request)
        except Gone as gone:
            self.process.log.warning(f"connect to private/{service} service: {gone.args[0]}")
            yield from self.send(_TLS_PROBLEM)
            return
        if not reply.ready:
            yield from self.send(_TLS_PROBLEM)
            return
        self._input, self._at = b"", 0
        state.using_tls = True
        state.helo_name = state.sender = None
        if reply.session is None:
            raise _Over
        self._tls = reply

    @_command("MAIL")
    def _mail(self, rest: str) -> Wait[None]:
        state = self.state
        if self.conf.postscreen_helo_required and state.helo_name is None:
            yield from self.send("503 5.5.1 Error: send HELO/EHLO first")
        elif state.sender is not None:
            yield from self.send("503 5.5.1 Error: nested MAIL command")
        elif ":" not in rest:
            yield from self.send("501 5.5.4 Syntax: MAIL FROM:<address>")
        else:
            state.sender = extract_addr(rest.partition(":")[2])
            yield from self.send("250 2.1.0 Ok")

    @_command("RCPT")
    def _rcpt(self, rest: str) -> Wait[None]:
        state = self.state
        if state.sender is None:
            yield from self.send("503 5.5.1 Error: need MAIL command")
        elif ":" not in rest:
            yield from self.send("501 5.5.4 Syntax: RCPT TO:<address>")
        else:
            address = extract_addr(rest.partition(":")[2])
            reply = soften(state.rcpt_reply) if self.conf.soft_bounce else state.rcpt_reply
            self.process.log.info(
                f"NOQUEUE: reject: RCPT from {state.who}: {reply}; from=<{state.sender}>, "
                f"to=<{address}>, proto={state.protocol}, helo=<{state.helo_name or ''}>"
            )
            yield from self.send(state.rcpt_reply)

    @_command("DATA")
    def _data(self, rest: str) -> Wait[None]:
        if _words(rest):
            yield from self.send("501 5.5.4 Syntax: DATA")
        elif self.state.sender is None:
            yield from self.send("503 5.5.1 Error: need RCPT command")
        else:
            yield from self.send("554 5.5.1 Error: no valid recipients")

    @_command("RSET")
    def _rset(self, rest: str) -> Wait[None]:
        self.state.sender = None
        yield from self.send("250 2.0.0 Ok")

    @_command("NOOP", pre_tls=True)
    def _noop(self, rest: str) -> Wait[None]:
        yield from self.send("250 2.0.0 Ok")

    @_command("VRFY")
    def _vrfy(self, rest: str) -> Wait[None]:
        if not _words(rest):
            yield from self.send("501 5.5.4 Syntax: VRFY address")
        elif self.conf.postscreen_disable_vrfy_command:
            yield from self.send("502 5.5.1 VRFY command is disabled")
        else:
            yield from self.send(self.state.rcpt_reply)

    @_command("ETRN")
    def _etrn(self, rest: str) -> Wait[None]:
        if self.conf.postscreen_helo_required and self.state.helo_name is None:
            yield from self.send("503 5.5.1 Error: send HELO/EHLO first")
        elif not _words(rest):
            yield from self.send("500 Syntax: ETRN domain")
        else:
            yield from self.send("458 Unable to queue messages")

    @_command("QUIT", pre_tls=True)
    def _quit(self, rest: str) -> Wait[None]:
        raise _Over("221 2.0.0 Bye")
        yield


#: All commands that have a name here; some are known and not recognized.
_NAMES = frozenset(_COMMANDS) | {"XCLIENT", "XFORWARD", "AUTH"}


def _words(text: str) -> list[str]:
    return [word for word in text.split(" ") if word]


def extract_addr(text: str) -> str:
    """The address in the argument of MAIL or RCPT, for the log: a source route and quotes go."""
    text = text.lstrip(" ")
    stop = " "
    if text.startswith("<"):
        text, stop = text[1:], ">"
    address: list[str] = []
    quoted = False
    characters = iter(text)
    for char in characters:
        if char == stop and not quoted:
            break
        if char == '"':
            quoted = not quoted
            continue
        if char == "\\":
            char = next(characters, "")
        address.append(char)
    result = "".join(address)
    if result.startswith("@") and ":" in result:
        result = result.partition(":")[2]
    return result


def smtpd_tests(screen: Screen, state: State) -> Wait[None]:
    """Talks SMTP with a client that is not passed on."""
    yield from Dialogue(screen, state).run()

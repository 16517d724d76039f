"""The before-queue content filter, ``smtpd_proxy_filter`` (smtpd_proxy.c, SMTPD_PROXY_README).

Commands that smtpd(8) has accepted, and the message content, go on to the filter as the client sent
them; the filter's reply to the end of the content is the client's.  With ``speed_adjust`` in
``smtpd_proxy_options`` the filter is not asked before the whole message is there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mta.lib.cleanup_strerror import cleanup_stat_detail
from mta.lib.inet_connect import inet_connect, unix_connect
from mta.lib.mail_error import MAIL_ERROR_SOFTWARE
from mta.lib.requests import CLEANUP_STAT_PROXY, REWRITE_LOCAL
from mta.lib.smtp_stream import SmtpError, SmtpStream, SmtpTimeout
from mta.smtpd.chat import clip
from mta.smtpd.server import SMTPD_PROXY_FLAG_SPEED_ADJUST
from mta.smtpd.state import known
from mta.system import ConnectError, Wait
from mta.wire.quote import xtext_quote
from mta.wire.text import c_string, printable, to_bytes, to_text

if TYPE_CHECKING:
    from mta.smtpd.state import Session

# The reply that a command should get: the first digit of its code.
WANT_OK = "2"
WANT_MORE = "3"
WANT_ANY = ""

#: Attributes that XFORWARD sends, in order.
_XFORWARD = ("NAME", "ADDR", "PORT", "HELO", "IDENT", "PROTO", "SOURCE")
_UNAVAILABLE = "[UNAVAILABLE]"
_PAYLOAD_LIMIT = 512 - len("250 XFORWARD\r\n")
_CODE = re.compile(r"[0-9]*")
_BLANKS = re.compile(r"[ \t]+")


class SmtpdProxy:
    """A mail transaction with the filter.

    ``reply`` is its last reply, lines separated by CR LF, or one of ours where it has none that a
    client should see.
    """

    __slots__ = ("_saved", "_stream", "mail_from", "name", "reply", "session", "speed_adjust")

    def __init__(self, session: Session, mail_from: str, speed_adjust: bool) -> None:
        self.session = session
        self.name: str = session.process.conf.smtpd_proxy_filter
        self.mail_from = mail_from
        self.speed_adjust = speed_adjust
        self.reply = ""
        self._stream: SmtpStream | None = None
        #: With speed_adjust: commands as (wanted reply, command), content as (type, data).
        self._saved: list[tuple[str, str] | list[tuple[str, bytes]]] = []

    # -- the connection -----------------------------------------------------------------------

    def connect(self) -> Wait[bool]:
        """Makes the connection and sends EHLO, XFORWARD and MAIL FROM; whether all went well."""
        process = self.session.process
        conf = process.conf
        timeout = conf.smtpd_proxy_timeout
        kind, _, endpoint = self.name.partition(":")
        try:
            if kind.lower() == "unix":
                stream = yield from unix_connect(process, endpoint, timeout)
            else:
                stream = yield from inet_connect(
                    process, endpoint if kind.lower() == "inet" else self.name, timeout
                )
        except ConnectError as error:
            process.log.warning(f"connect to proxy filter {self.name}: {error.args[0]}")
            self._trouble()
            return False
        self._stream = SmtpStream(stream, timeout)
        ready = (
            (yield from self._talk(WANT_OK, ""))
            and (yield from self._talk(WANT_OK, f"EHLO {conf.smtpd_proxy_ehlo}"))
            and (yield from self._xforward())
        )
        if not ready:
            self._fake_reply()
            self.close()
            return False
        if not (yield from self._talk(WANT_OK, self.mail_from)):
            self.close()
            return False
        return True

    def _xforward(self) -> Wait[bool]:
        """Tells the filter who the client is, as far as it wants to know."""
        offered: set[str] = set()
        # Where more lines follow, the last word of one is followed by CR, and no name: as in life.
        for line in self.reply.split("\n"):
            words = _BLANKS.split(line.replace("-", " ", 1).strip(" \t"))
            if len(words) > 1 and words[1].upper() == "XFORWARD":
                offered.update(word.upper() for word in words[2:])
        payload = ""
        for name, value in self._attributes():
            if name not in offered:
                continue
            text = value if value is not None and known(value) else _UNAVAILABLE
            part = f" {name}={xtext_quote(text)}"
            if len(part) > _PAYLOAD_LIMIT:
                self.session.process.log.warning(
                    f"XFORWARD command payload {name}={clip(text, 10)}... "
                    "exceeds SMTP protocol limit"
                )
            if payload and len(payload) + len(part) > _PAYLOAD_LIMIT:
                if not (yield from self._talk(WANT_OK, f"XFORWARD{payload}")):
                    return False
                payload = ""
            payload += part
        return not payload or (yield from self._talk(WANT_OK, f"XFORWARD{payload}"))

    def _attributes(self) -> list[tuple[str, str | None]]:
        session = self.session
        source = "LOCAL" if session.forward_domain == REWRITE_LOCAL else "REMOTE"
        values = (
            session.forward_name,
            session.forward_addr,
            session.forward_port,
            session.forward_helo,
            session.forward_ident,
            session.forward_proto,
            source,
        )
        return list(zip(_XFORWARD, values, strict=True))

    def close(self) -> None:
        """Says QUIT and does not wait for an answer; ``reply`` stays."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.put_line(b"QUIT")
            stream.close()

    def free(self) -> None:
        """Ends the transaction with the filter."""
        self.close()
        self.session.proxy = None

    # -- commands -----------------------------------------------------------------------------

    def command(self, want: str, text: str) -> Wait[str | None]:
        """Sends a command; None when the reply is as wanted, else what the client is to hear.
        The command ``.`` ends the content.
        """
        if not self.speed_adjust:
            good = yield from self._talk(want, text)
        else:
            self._saved.append((want, text))
            good = text != "." or (yield from self._replay())
        return None if good else self.reply

    def _replay(self) -> Wait[bool]:
        """Sends all that was saved; the first reply that is not as wanted ends it."""
        if not (yield from self.connect()):
            return False
        for item in self._saved:
            if isinstance(item, list):
                if not (yield from self._send_content(item)):
                    return False
            elif not (yield from self._talk(*item)):
                return False
        return True

    def _talk(self, want: str, text: str) -> Wait[bool]:
        stream = self._stream
        if stream is None:
            self._trouble()
            return False
        try:
            if text:
                stream.put_line(to_bytes(text))
            yield from self._read_reply(stream)
        except SmtpError as error:
            self._lost(error)
            return False
        if not want or self.reply.startswith(want):
            return True
        self.session.process.log.warning(
            f'proxy {self.name} rejected "{text or "connection request"}": "{self.reply}"'
        )
        if self.reply[:1] in ("2", "3"):
            self._trouble()
        return False

    def _read_reply(self, stream: SmtpStream) -> Wait[None]:
        process = self.session.process
        limit = process.conf.line_length_limit
        utf8 = process.conf.smtputf8_enable
        reply = ""
        while True:
            data = yield from stream.get(limit, skip=True)
            line = printable(to_text(c_string(data)), "?", utf8)
            if not stream.complete:
                process.log.warning(
                    f"{self.name}: response longer than {limit}: {clip(line, 30)}..."
                )
            if len(reply) < limit:
                reply = f"{reply}\r\n{line}" if reply else line
            digits = _CODE.match(line)
            if digits is not None and digits.end() == 3:
                if line[3:4] == "-":
                    continue
                if line[3:4] in ("", " "):
                    break
            process.log.warning(f"received garbage from proxy {self.name}: {clip(line, 100)}")
        self.reply = reply

    # -- content ------------------------------------------------------------------------------

    def put(self, records: list[tuple[str, bytes]]) -> Wait[bool]:
        """Takes records of content, dots at the beginning of lines doubled; whether the filter is
        still there.
        """
        if self.speed_adjust:
            self._saved.append(records)
            return True
        return (yield from self._send_content(records))

    def _send_content(self, records: list[tuple[str, bytes]]) -> Wait[bool]:
        stream = self._stream
        if stream is None:
            self._trouble()
            return False
        stream.put(b"".join([data + b"\r\n" if kind == "N" else data for kind, data in records]))
        try:
            yield from stream.drain()
        except SmtpError as error:
            self._lost(error)
            return False
        return True

    # -- trouble ------------------------------------------------------------------------------

    def _lost(self, error: SmtpError) -> None:
        log = self.session.process.log
        if isinstance(error, SmtpTimeout):
            log.warning(f"timeout talking to proxy {self.name}")
        else:
            log.warning(f"lost connection with proxy {self.name}")
        if self._stream is not None:
            self._stream.purge()
            self._stream.stream.close()
            self._stream = None
        self._trouble()

    def _trouble(self) -> None:
        self.session.error_mask |= MAIL_ERROR_SOFTWARE
        self.session.err |= CLEANUP_STAT_PROXY
        self._fake_reply()

    def _fake_reply(self) -> None:
        """A reply of our own, since the filter's is none of the client's business."""
        detail = cleanup_stat_detail(CLEANUP_STAT_PROXY)
        self.reply = f"{detail.smtp} {detail.dsn} Error: {detail.text}"


def proxy_create(session: Session, mail_from: str) -> Wait[str | None]:
    """Begins a transaction with the filter as ``session.proxy``; what the client is to hear where
    that fails.
    """
    speed_adjust = bool(session.server.proxy_options & SMTPD_PROXY_FLAG_SPEED_ADJUST)
    proxy = session.proxy = SmtpdProxy(session, mail_from, speed_adjust)
    if speed_adjust or (yield from proxy.connect()):
        return None
    return proxy.reply

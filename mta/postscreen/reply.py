"""Replies to clients: footers, soft bounces (postscreen_send.c, postscreen_expand.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.postscreen.state import State
from mta.system import Gone, TimedOut, Wait
from mta.util.escape import unescape
from mta.util.mac_expand import MacError, mac_expand
from mta.wire.mail_date import local_time
from mta.wire.smtp_reply import smtp_reply_footer
from mta.wire.text import to_bytes

if TYPE_CHECKING:
    from mta.master.server import Process

#: A client that takes nothing is not waited for (seconds).
_PATIENCE = 10


def soften(reply: str) -> str:
    """5xx 5.x.x as 4xx 4.x.x (``soft_bounce``)."""
    if reply[:1] == "5":
        reply = "4" + reply[1:]
    return reply[:4] + "4" + reply[5:] if reply[4:5] == "5" else reply


class Replies:
    """How replies are sent."""

    def __init__(self, process: Process) -> None:
        self.process = process
        conf = process.conf
        self._footer = _once(process, conf.postscreen_reject_footer)
        self._filter = unescape(_once(process, conf.postscreen_expansion_filter))

    def send(self, state: State, reply: str) -> Wait[bool]:
        """Sends one reply (no CR LF at its end); whether the client is still there."""
        conf = self.process.conf
        text = soften(reply) if conf.soft_bounce else reply
        if self._footer and reply[0] in "45":
            text = smtp_reply_footer(
                text, self._footer, lambda template: self._expand(state, template)
            )
        stream = state.peer.stream
        stream.write(to_bytes(text) + b"\r\n")
        try:
            yield stream.flush(_PATIENCE)
        except Gone:
            return False
        except TimedOut:
            pass
        return True

    def _expand(self, state: State, template: str) -> str:
        def lookup(name: str) -> str | None:
            return self._value(state, name)

        try:
            return mac_expand(template, lookup, filter=self._filter).text
        except MacError as error:
            for warning in error.warnings:
                self.process.log.warning(warning)
            return str(error.args[2]) if len(error.args) > 2 else ""

    def _value(self, state: State, name: str) -> str | None:
        if name == "server_name":
            return self.process.conf.myhostname
        if name == "client_address":
            return state.peer.client_address
        if name == "client_port":
            return state.peer.client_port
        if name == "localtime":
            now = local_time(self.process.now(), self.process.system.timezone)
            return f"{now:%b %d %H:%M:%S}"
        self.process.log.warning(f'unknown macro name "{name}" in expansion request')
        return None


def _once(process: Process, text: str) -> str:
    """What a name stands for; names in its text are expanded later."""
    return process.conf.expand_once(text) if text.startswith("$") else text

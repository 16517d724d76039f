"""A Dovecot login service, as far as the mail system sees one (auth-protocol version 1.1).

Whoever asks for PLAIN or LOGIN is let in, unless the password is wrong; CRAM-MD5 is offered for
those who must not send passwords as they are, and never lets anybody in.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from mta.system import Endpoint, Gone, Stream, TimedOut, Wait
from mta.wire.text import to_bytes, to_text
from sim.peers.host import PeerMachine, Server
from sim.peers.transcript import Closed, Silent, next_line

#: How long the service waits for the next request, in seconds.
PATIENCE = 3600.0

_GREETING = (
    "VERSION\t1\t1\n"
    "MECH\tPLAIN\tplaintext\n"
    "MECH\tLOGIN\tplaintext\n"
    "MECH\tCRAM-MD5\tdictionary\tactive\n"
    "SPID\t1\nCUID\t1\nCOOKIE\t00000000000000000000000000000001\nDONE\n"
)
_ASKS = {"PLAIN": [""], "LOGIN": ["Username:", "Password:"], "CRAM-MD5": ["<1.1@login>"]}


class DovecotServer(Server):
    """A login service at an endpoint of a machine."""

    passive = True

    def __init__(
        self,
        machine: PeerMachine,
        endpoint: Endpoint,
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        """``passwords`` by user; without, every password is right."""
        super().__init__(machine, endpoint)
        self.passwords = passwords
        self.logins: list[str] = []  #: who was let in

    def serve(self, stream: Stream) -> Wait[None]:
        """One connection: any number of logins."""
        stream.write(to_bytes(_GREETING))
        under_way: dict[str, tuple[str, list[str]]] = {}
        try:
            while True:
                command, *words = (yield from next_line(stream, PATIENCE)).split("\t")
                if command == "AUTH" and len(words) >= 2:
                    number, mechanism = words[:2]
                    first = next((w[5:] for w in words[2:] if w.startswith("resp=")), None)
                    under_way[number] = mechanism.upper(), [] if first is None else [first]
                elif command == "CONT" and len(words) >= 2 and words[0] in under_way:
                    number = words[0]
                    under_way[number][1].append(words[1])
                else:
                    continue
                answer = self._answer(*under_way[number])
                stream.write(to_bytes(answer.format(number)))
        except (Closed, Silent, Gone, TimedOut):
            pass
        stream.close()

    def _answer(self, mechanism: str, said: list[str]) -> str:
        """What is said next in a login."""
        asks = _ASKS.get(mechanism)
        if asks is None:
            return "FAIL\t{}\treason=Unsupported authentication mechanism\n"
        if len(said) < len(asks):
            return "CONT\t{}\t" + base64.b64encode(asks[len(said)].encode()).decode() + "\n"
        user, password = _credentials(mechanism, said)
        if not user or not self._is_right(user, password):
            return "FAIL\t{}\tuser=" + _plain(user) + "\n"
        self.logins.append(user)
        return "OK\t{}\tuser=" + _plain(user) + "\n"

    def _is_right(self, user: str, password: str) -> bool:
        return self.passwords is None or self.passwords.get(user) == password


def _credentials(mechanism: str, said: list[str]) -> tuple[str, str]:
    """User and password; two empty texts where they make no sense."""
    try:
        texts = [to_text(base64.b64decode(word, validate=True)) for word in said]
    except (ValueError, binascii.Error):
        return "", ""
    if mechanism == "LOGIN":
        return texts[0], texts[1]
    parts = texts[0].split("\0")
    return (parts[1], parts[2]) if mechanism == "PLAIN" and len(parts) == 3 else ("", "")


def _plain(user: str) -> str:
    """A name that cannot break a line apart, nor a format."""
    return "".join("?" if char in "\t\n\0{}" else char for char in user)

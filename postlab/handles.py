"""What a :class:`postlab.lab.Lab` hands out: clients, peers, submissions, commands, the mail log.

Looking at a handle makes everything happen that was asked for before; nobody has to remember to
run the world first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from postlab.model import Client as ClientModel
from postlab.model import PeerRule, Step
from postlab.scenario import checked
from reports.dialogues import exchanges
from reports.fates import Fingerprint, Line
from reports.outcome import CommandResult, Delivered, Dialogue
from sim.peers.tls import TlsSpec

if TYPE_CHECKING:
    from postlab.lab import Lab
    from postlab.stage import Stage


_CONTENT = re.compile(r"<\d+ lines>")


class NotSaid(KeyError):
    """A client never said what is asked for.  ``args[0]`` tells what it said."""

    def __str__(self) -> str:
        return str(self.args[0])


class LabClient:
    """An SMTP client and what it says.  Every method that adds a step returns the client."""

    def __init__(self, lab: Lab, address: str, port: int, tls: TlsSpec | None = None) -> None:
        self._lab = lab
        self.address = address
        self.port = port
        self.tls = tls
        self._steps: list[str | Step] = []
        self._dialogue: Dialogue | None = None

    # -- steps ----------------------------------------------------------------------------------

    def say(self, *lines: str) -> LabClient:
        """Commands one after the other, each with its reply; a text that ends with a lone dot is
        message content, ``starttls`` and ``hangup`` are what they say.
        """
        return self._add(*lines)

    def pipeline(self, *lines: str) -> LabClient:
        """Commands in one write; then one reply for each."""
        return self._add(Step(pipeline=list(lines)))

    def content(self, text: str) -> LabClient:
        """Message content, without the lone dot at its end; skipped if the reply was not 354."""
        return self._add((text if text.endswith("\n") or not text else text + "\n") + ".")

    def wait(self, seconds: float) -> LabClient:
        """Notes whatever comes for so many seconds."""
        return self._add(Step(wait=seconds))

    def raw(self, text: str) -> LabClient:
        """Text as it is; the author writes CR and LF too."""
        return self._add(Step(raw=text))

    def starttls(self) -> LabClient:
        """The STARTTLS command, then the handshake."""
        return self._add("starttls")

    def hangup(self) -> LabClient:
        """Closes without QUIT."""
        return self._add("hangup")

    def quit(self) -> LabClient:
        """QUIT, and waits for the server to close."""
        return self._add("QUIT")

    def mail(
        self, sender: str, *recipients: str, text: str = "Subject: test\n\ntest\n"
    ) -> LabClient:
        """A whole transaction: MAIL, RCPT for each recipient, DATA and the content."""
        self.say(f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{item}>" for item in recipients))
        return self.say("DATA").content(text)

    def _add(self, *steps: str | Step) -> LabClient:
        if self._dialogue is not None:
            raise RuntimeError(
                f"the session of client {self.address} is over; make another client for more"
            )
        self._steps += steps
        return self

    def _perform(self, stage: Stage) -> None:
        data = {"from": self.address, "to": self.port, "say": list(self._steps)}
        model = checked(ClientModel, data, f"client {self.address}")
        self._dialogue = stage.client(model, self.tls)

    # -- what came of it ------------------------------------------------------------------------

    @property
    def transcript(self) -> list[str]:
        """The session, line by line (``S: ``, ``C: ``, ``* ``)."""
        self._lab.settle()
        assert self._dialogue is not None
        return self._dialogue.transcript

    @property
    def replies(self) -> list[str]:
        """All lines that the server said."""
        return [line[3:] for line in self.transcript if line.startswith("S: ")]

    def reply(self, command: str) -> str:
        """The reply to the first command that begins so (case ignored), pipelined or not; several
        lines joined.  ``"."`` stands for message content.

        Raises NotSaid where the client said no such thing.
        """
        for item in exchanges(self.transcript)[1:]:
            is_content = command == "." and _CONTENT.fullmatch(item.command)
            if is_content or item.command.lower().startswith(command.lower()):
                return item.reply
        raise NotSaid(
            f"client {self.address} never said {command!r}:\n" + "\n".join(self.transcript)
        )

    @property
    def fingerprint(self) -> Fingerprint:
        """What the mail system logged at the end of the session: ``ehlo=1 mail=1 … commands=2``."""
        sessions = [c for c in self._lab.clients if c.address == self.address]
        found = [f for f in self._lab.story.fingerprints if f.client.endswith(f"[{self.address}]")]
        number = sessions.index(self)
        if number >= len(found):
            raise NotSaid(f"no session of {self.address} has ended in the log")
        return found[number]

    def __repr__(self) -> str:
        return f"<client {self.address}, {len(self._steps)} steps>"


class LabPeer:
    """An SMTP or LMTP server elsewhere."""

    def __init__(self, lab: Lab, name: str, data: dict[str, Any]) -> None:
        self._lab = lab
        self.name = name
        self._data = data

    @property
    def address(self) -> str:
        """Its address."""
        return str(self._data["address"])

    def on(
        self,
        command: str,
        reply: str | None = None,
        *,
        then: str | None = None,
        do: str | None = None,
        times: int | None = None,
    ) -> LabPeer:
        """A rule, as in scenario files: at a command (or ``connect``, or ``.``) it says ``reply``,
        or does ``silent`` or ``close``; ``times`` counts over all sessions.  First match wins.
        """
        self._lab.must_not_have_begun("a peer's rule")
        said = {"on": command, "reply": reply, "then": then, "do": do, "times": times}
        rule = {key: value for key, value in said.items() if value is not None}
        checked(PeerRule, rule, f"a rule of peer {self.name}")
        self._data.setdefault("replies", []).append(rule)
        return self

    def down(self) -> None:
        """From now on nothing listens there: connections are refused."""
        self._lab.settle()
        self._lab.stage.servers[self.name].stop()

    def up(self) -> None:
        """Listens again."""
        self._lab.settle()
        self._lab.stage.servers[self.name].start()

    @property
    def sessions(self) -> list[list[str]]:
        """The transcripts of all sessions, in the order of connection."""
        self._lab.settle()
        record = self._lab.stage.record
        return [session.transcript for session in record.sessions if session.peer == self.name]

    @property
    def messages(self) -> list[Delivered]:
        """The messages that it took."""
        return [m for m in self._lab.delivered if m.where == f"peer {self.name}"]

    def __repr__(self) -> str:
        return f"<peer {self.name} at {self.address}>"


class Pending:
    """A submission or a command; its result is there when somebody looks."""

    def __init__(self, lab: Lab, perform: Callable[[Stage], CommandResult]) -> None:
        self._lab = lab
        self._do = perform
        self._result: CommandResult | None = None

    def _perform(self, stage: Stage) -> None:
        self._result = self._do(stage)

    @property
    def result(self) -> CommandResult:
        """Command line, exit status, output."""
        self._lab.settle()
        assert self._result is not None
        return self._result

    @property
    def exit(self) -> int:
        """The exit status."""
        return self.result.exit

    @property
    def output(self) -> str:
        """What it printed."""
        return self.result.output


class MailLog(Sequence[Line]):
    """The mail log: a list of lines that can be asked questions."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines

    def __getitem__(self, index: Any) -> Any:
        return self.lines[index]

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def find(self, pattern: str, daemon: str = "") -> list[Line]:
        """The lines whose text matches a regular expression (somewhere), of one daemon or all."""
        wanted = re.compile(pattern)
        return [
            line
            for line in self.lines
            if (not daemon or line.daemon == daemon) and wanted.search(line.text)
        ]

    def one(self, pattern: str, daemon: str = "") -> Line:
        """The only line that matches.  Raises AssertionError with the log where it is not one."""
        found = self.find(pattern, daemon)
        if len(found) != 1:
            who = f" of {daemon}" if daemon else ""
            raise AssertionError(f"{len(found)} lines{who} match {pattern!r} in:\n{self}")
        return found[0]

    def __contains__(self, text: object) -> bool:
        """Whether some line holds a text."""
        return any(str(text) in str(line) for line in self.lines)

    def __str__(self) -> str:
        return "\n".join(map(str, self.lines))

    def __repr__(self) -> str:
        return f"<the mail log, {len(self.lines)} lines>"

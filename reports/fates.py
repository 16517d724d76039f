"""The mail log read the way an administrator reads it: messages, their recipients, their fates.

The texts are those of Postfix 3.0; moments are microseconds since the epoch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_LINE = re.compile(r"(?P<service>[^\[\s:]+)(?:\[(?P<pid>\d+)\])?: (?P<text>.*)", re.DOTALL)
_ID = re.compile(r"(?P<id>[0-9A-Za-z]{5,30}): (?P<rest>.*)", re.DOTALL)
_TO = re.compile(
    r"to=<(?P<to>.*?)>, (?:orig_to=<(?P<orig_to>.*?)>, )?relay=(?P<relay>.*?), "
    r"(?:conn_use=(?P<use>\d+), )?delay=(?P<delay>[\d.]+), delays=[\d./]+, "
    r"dsn=(?P<dsn>[\d.]+), status=(?P<status>\S+) \((?P<reason>.*)\)",
    re.DOTALL,
)
_FROM = re.compile(r"from=<(?P<sender>.*?)>, size=(?P<size>\d+), nrcpt=(?P<nrcpt>\d+) \(")
_EXPIRED = re.compile(r"from=<(?P<sender>.*?)>, status=expired, returned to sender")
_ORIGIN = re.compile(r"(?P<origin>(?:client|uid)=[^,]+)")
_NOTICE = re.compile(r"(?P<kind>.*? notification): (?P<id>\w+)$")
_REJECT = re.compile(
    r"(?P<kind>reject|milter-reject|discard|hold|filter|redirect|warn|reject_warning|warning"
    r"|permit|prepend|info): (?P<text>.*)",
    re.DOTALL,
)
_BRACES = re.compile(r"; from=<(?P<sender>.*?)> (?:to=<(?P<to>.*?)> )?proto=")
_STAGE = re.compile(r"(?P<stage>.*?) from (?P<client>\S+\[[^\]]*\]): (?P<reply>.*)", re.DOTALL)
_FINGERPRINT = re.compile(r"disconnect from (?P<client>\S+)(?P<counts>(?: [a-z]+=\d+(?:/\d+)?)*)$")


@dataclass(slots=True)
class Line:
    """A line of the mail log."""

    service: str  #: e.g. ``postfix/smtpd``
    pid: int
    text: str
    moment: int = 0

    @property
    def daemon(self) -> str:
        """The last part of the service: ``smtpd``."""
        return self.service.rpartition("/")[2]

    def __str__(self) -> str:
        who = f"{self.service}[{self.pid}]" if self.pid else self.service
        return f"{who}: {self.text}"


@dataclass(slots=True)
class Fate:
    """What became of one recipient of a message."""

    recipient: str
    status: str = "queued"  #: sent, deferred, bounced, expired, deliverable, undeliverable, queued
    relay: str = ""  #: where the last attempt went
    dsn: str = ""
    reason: str = ""  #: of the last attempt
    original: str = ""  #: orig_to, where it differs
    attempts: int = 0
    first: int = 0  #: moment of the first attempt
    last: int = 0  #: moment of the last attempt


@dataclass(slots=True)
class Message:
    """A message that had a queue id."""

    queue_id: str
    arrived: int = 0
    origin: str = ""  #: ``client=name[address]``, ``uid=1001``, or ``""`` for our own mail
    sender: str | None = None  #: None until it came to the active queue
    message_id: str = ""
    size: int = 0
    nrcpt: int = 0
    fates: list[Fate] = field(default_factory=list)
    removed: int | None = None  #: moment when it left the queue
    notices: list[tuple[str, str]] = field(default_factory=list)  #: (kind, queue id)
    notes: list[str] = field(default_factory=list)  #: lines that cleanup or smtpd had to say

    def fate(self, recipient: str) -> Fate:
        """The fate of a recipient (as delivered, or as given).  Raises KeyError."""
        for fate in self.fates:
            if recipient in (fate.recipient, fate.original):
                return fate
        known = ", ".join(f.recipient for f in self.fates) or "none"
        raise KeyError(f"{self.queue_id} has no recipient {recipient}; it has: {known}")


@dataclass(slots=True)
class Reject:
    """A line in which smtpd or cleanup told of a decision: ``reject: RCPT from …``."""

    kind: str  #: reject, milter-reject, discard, hold, warn, …
    stage: str  #: RCPT, MAIL, CONNECT, DATA, header Subject: …
    client: str  #: name[address], ``""`` where unknown
    reply: str  #: what was said
    sender: str | None
    recipient: str | None
    queue_id: str  #: ``NOQUEUE`` before there is a queue file
    moment: int = 0


@dataclass(slots=True)
class Fingerprint:
    """What a session did: the line that smtpd logs at its end (3.0, "session fingerprint")."""

    client: str  #: name[address]
    counts: dict[str, str]  #: command → ``n``, or ``ok/all`` where some failed
    moment: int = 0

    def __str__(self) -> str:
        return " ".join(f"{name}={count}" for name, count in self.counts.items())

    def __getitem__(self, command: str) -> tuple[int, int]:
        """(successful, all) for a command; (0, 0) where it was never given."""
        first, _, last = self.counts.get(command, "0").partition("/")
        return int(first), int(last or first)


@dataclass(slots=True)
class Story:
    """All that a mail log tells."""

    lines: list[Line]
    messages: list[Message]
    rejects: list[Reject]
    fingerprints: list[Fingerprint]
    troubles: list[Line]  #: warning:, error:, fatal: and panic: lines


def parse_lines(log: Iterable[str], moments: Sequence[int] = ()) -> list[Line]:
    """The lines of a log (without date and host) taken apart."""
    lines = []
    for number, text in enumerate(log):
        moment = moments[number] if number < len(moments) else 0
        match = _LINE.match(text)
        if match:
            lines.append(Line(match["service"], int(match["pid"] or 0), match["text"], moment))
        else:
            lines.append(Line("", 0, text, moment))
    return lines


def read(log: Iterable[str], moments: Sequence[int] = ()) -> Story:
    """The story of a mail log."""
    lines = parse_lines(log, moments)
    story = Story(lines, [], [], [], [])
    open_messages: dict[str, Message] = {}
    for line in lines:
        text = line.text
        if text.startswith(("warning: ", "error: ", "fatal: ", "panic: ")):
            story.troubles.append(line)
            continue
        if text.startswith("disconnect from "):
            _fingerprint(story, line)
            continue
        match = _ID.fullmatch(text)
        if match is None:
            continue
        queue_id, rest = match["id"], match["rest"]
        reject = _REJECT.fullmatch(rest)
        if reject:
            _reject(story, line, queue_id, reject)
        if queue_id != "NOQUEUE" and _is_queue_id(queue_id):
            _message(story, open_messages, line, queue_id, rest)
    return story


def _is_queue_id(word: str) -> bool:
    return any(char.isdigit() for char in word)


def _fingerprint(story: Story, line: Line) -> None:
    match = _FINGERPRINT.fullmatch(line.text)
    if match:
        counts = dict(word.split("=", 1) for word in match["counts"].split())
        story.fingerprints.append(Fingerprint(match["client"], counts, line.moment))


def _reject(story: Story, line: Line, queue_id: str, match: re.Match[str]) -> None:
    text = match["text"]
    stage = _STAGE.fullmatch(text)
    braces = _BRACES.search(text)
    reply = stage["reply"] if stage else text
    if braces:
        reply = reply.partition("; from=<")[0]
    story.rejects.append(
        Reject(
            match["kind"],
            stage["stage"] if stage else "",
            stage["client"] if stage else "",
            reply,
            braces["sender"] if braces else None,
            braces["to"] if braces else None,
            queue_id,
            line.moment,
        )
    )


def _message(story: Story, known: dict[str, Message], line: Line, queue_id: str, rest: str) -> None:
    message = known.get(queue_id)
    origin = _ORIGIN.match(rest)
    if message is None or (message.removed is not None and not rest.startswith("removed")):
        message = known[queue_id] = Message(queue_id, line.moment)
        story.messages.append(message)
    if origin:
        message.origin = origin["origin"]
    elif rest.startswith("message-id="):
        message.message_id = rest.partition("=")[2]
    elif rest == "removed":
        message.removed = line.moment
    elif match := _TO.fullmatch(rest):
        _attempt(message, line, match)
    elif match := _FROM.match(rest):
        message.sender = match["sender"]
        message.size, message.nrcpt = int(match["size"]), int(match["nrcpt"])
    elif match := _EXPIRED.match(rest):
        message.sender = match["sender"]
        for fate in message.fates:
            if fate.status == "deferred":
                fate.status = "expired"
    elif match := _NOTICE.match(rest):
        message.notices.append((match["kind"], match["id"]))
    elif not _REJECT.fullmatch(rest):
        message.notes.append(rest)


def _attempt(message: Message, line: Line, match: re.Match[str]) -> None:
    recipient, original = match["to"], match["orig_to"] or ""
    for fate in message.fates:
        if (fate.recipient, fate.original) == (recipient, original):
            if fate.status in ("deferred", "queued"):
                break
    else:
        fate = Fate(recipient, original=original, first=line.moment)
        message.fates.append(fate)
    fate.status, fate.relay = match["status"], match["relay"]
    fate.dsn, fate.reason = match["dsn"], match["reason"]
    fate.attempts += 1
    fate.last = line.moment

"""What a run left on the disk: mailboxes, and what is still in the queue."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from mta.system import Files
from postlab.configuration import MAIL_SPOOL
from postlab.semantics import SYSTEM_USERS
from reports.outcome import Delivered, QueueEntry, Waiting

#: Where no mailbox is.
_NOT_MAIL = ("/dev", "/etc", "/proc", "/tmp", "/usr", "/var/lib/postfix", "/var/spool/postfix")

_FROM_LINE = re.compile(r"(?m)(?:^|(?<=\n\n))(?=^From (?:\S+|\"[^\n]*\"\S*) +\w{3} \w{3} )")
_ENTRY = re.compile(
    r"^(?P<id>[0-9A-Za-z]+)(?P<mark>[*!#]?)\s+(?P<size>\d+) "
    r"(?P<arrival>\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d)  ?(?P<sender>.*)$"
)
#: The sender of a message that could not be looked at.
UNKNOWN = "?"
_QUEUES = ("maildrop", "hold", "incoming", "active", "deferred", "corrupt")


class Mailboxes:
    """Reads mailbox files and Maildirs of a machine."""

    def __init__(
        self, files: Files, users: Sequence[str], home_mailbox: str, brought: Collection[str]
    ) -> None:
        """``brought`` are the paths of the files that the scenario itself brought."""
        self.files = files
        self.users = (*users, *SYSTEM_USERS)
        self.home_mailbox = home_mailbox
        self.brought = brought

    def delivered(self) -> list[Delivered]:
        """Every message in a mailbox, those of the mail spool first, then by path."""
        found: list[Delivered] = []
        spool = list(_walk(self.files, MAIL_SPOOL))
        others = [p for p in _walk(self.files, "/") if not p.startswith(MAIL_SPOOL + "/")]
        for path in spool + others:
            if path.endswith(".lock") or path in self.brought:
                continue
            data = self.files.read(path)
            if data:
                found += self._read(path, data.decode("utf-8", "surrogateescape"))
        return found

    def _read(self, path: str, text: str) -> Iterator[Delivered]:
        directory, _, _ = path.rpartition("/")
        parent, _, kind = directory.rpartition("/")
        if kind == "tmp":
            return
        if kind in ("new", "cur"):
            yield _item(self._owner(f"{parent}/"), text)
            return
        where = self._owner(path)
        for part in _FROM_LINE.split(text):
            if part.strip():
                first, _, rest = part.partition("\n")
                sender = re.split(r"  +", first[5:])[0]
                yield _item(where, rest[:-1] if rest.endswith("\n\n") else rest, sender)

    def _owner(self, path: str) -> str:
        directory, _, name = path.rpartition("/")
        if directory == MAIL_SPOOL and name in self.users:
            return f"mailbox {name}"
        if self.home_mailbox:
            for user in self.users:
                if path == f"/home/{user}/{self.home_mailbox}":
                    return f"mailbox {user}"
        return f"mailbox {path}"


def _walk(files: Files, top: str) -> Iterator[str]:
    """The paths of all files below a directory where mail may be: files first, then inside."""
    if not files.exists(top):
        return
    inner = []
    for name in files.list(top):
        path = f"{top.rstrip('/')}/{name}"
        if path in _NOT_MAIL:
            continue
        if files.stat(path).is_dir:
            inner.append(path)
        else:
            yield path
    for path in inner:
        yield from _walk(files, path)


def _item(where: str, message: str, sender: str = "") -> Delivered:
    """A message with the envelope that its own headers tell."""
    head = message.split("\n\n")[0] + "\n"
    back, recipient = _header(head, "Return-Path"), _header(head, "Delivered-To")
    return Delivered(
        where,
        message,
        sender=back.strip("<>") if back is not None else sender,
        recipients=[recipient] if recipient else [],
    )


def _header(head: str, name: str) -> str | None:
    match = re.search(rf"(?im)^{name}: *([^\n]*)\n", head)
    return match[1].strip() if match else None


def unlisted(files: Files, queue_directory: str) -> list[QueueEntry]:
    """What is left in the queue, where ``postqueue -p`` does not say what it is."""
    return [
        QueueEntry(name, UNKNOWN, [], queue_id=path.rpartition("/")[2])
        for name in _QUEUES
        for path in _walk(files, f"{queue_directory}/{name}")
    ]


def queue(files: Files, queue_directory: str, listing: str) -> list[QueueEntry]:
    """What is left in the queue: what ``postqueue -p`` lists, and where each message is."""
    place = {
        path.rpartition("/")[2]: name
        for name in _QUEUES
        for path in _walk(files, f"{queue_directory}/{name}")
    }
    entries: list[QueueEntry] = []
    entry: QueueEntry | None = None
    reason = ""
    for line in listing.splitlines():
        if match := _ENTRY.match(line):
            sender = match["sender"].strip()
            entry = QueueEntry(
                place.get(match["id"], "deferred"),
                "" if sender == "MAILER-DAEMON" else sender,
                [],
                queue_id=match["id"],
                size=int(match["size"]),
                arrival=match["arrival"],
            )
            entries.append(entry)
            reason = ""
        elif not line.strip():
            entry = None
        elif entry is not None and line.strip().startswith("("):
            reason = line.strip()[1:].removesuffix(")")
        elif entry is not None and line.startswith(" "):
            entry.recipients.append(Waiting(line.strip(), reason))
    for entry in entries:
        entry.recipients.sort(key=lambda r: (r.address, r.reason))
    return sorted(entries, key=lambda e: (e.queue, e.sender, str(e.to_json()["recipients"])))

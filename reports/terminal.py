"""Reports for people at a terminal: what became of the messages, and on request every word said.

All texts of a run are drawn as they are: brackets in them are no markup.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports.fates import Fate, Line, Message, Story, read
from reports.outcome import Dialogue, Report
from reports.times import date, duration, since

_STATUS_STYLE = {
    "sent": "green",
    "deliverable": "green",
    "deferred": "yellow",
    "queued": "yellow",
    "hold": "yellow",
    "bounced": "red",
    "expired": "red",
    "undeliverable": "red",
}
#: What can be left out of a relay's name: its address, and the usual port.
_RELAY = re.compile(r"\[[^\]]*\](?=:\d+$)|:25$")
_PID = re.compile(r"\bpid \d+")
_UID = re.compile(r"uid=\d+ from=<(.*)>")
_FORWARDED = re.compile(r"forwarded as (\w+)")
#: Lines of the log that count as trouble, up to so many in a summary.
_MOST_TROUBLES = 12
_NARROWEST = 100
#: Recipients get a column of so many characters at most.
_WIDEST = 44

#: Bytes that would do something to a terminal, or are no text, become question marks.
UNPRINTABLE = dict.fromkeys(
    (*range(9), *range(11, 32), *range(127, 160), *range(0xDC80, 0xDD00)), "?"
)


def plain_text(text: str, style: str = "") -> Text:
    """A text as it is, without markup and without what would do something to a terminal."""
    return Text(text.translate(UNPRINTABLE), style=style)


def console(stderr: bool = False) -> Console:
    """A console; where the output is no terminal it is wide enough for a table."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not made.is_terminal and made.width < _NARROWEST:
        made = Console(stderr=stderr, highlight=False, width=_NARROWEST + 20)
    return made


def as_text(report: Report, *, dialogue: bool = False, log: bool = False, width: int = 120) -> str:
    """The report as plain text, for files and for messages of tests."""
    page = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    show(report, page, dialogue=dialogue, log=log)
    assert isinstance(page.file, io.StringIO)
    return page.file.getvalue()


def show(report: Report, page: Console, *, dialogue: bool = False, log: bool = False) -> None:
    """Draws the report of one run."""
    story = read(report.outcome.log, report.moments)
    page.print()
    page.print(plain_text(report.title, style="bold"))
    page.print(plain_text(_where(report), style="dim"))
    if report.about:
        page.print()
        page.print(plain_text(report.about.strip()))
    page.print()
    page.print(_headline(report, story))
    for title, parts in _parts(report, story, dialogue=dialogue, log=log):
        page.print()
        page.print(plain_text(title, style="bold cyan"))
        for part in parts:
            if isinstance(part, Table):
                _print_table(part, page)
            else:
                page.print(plain_text("  ").append_text(part), soft_wrap=True)
    page.print()
    page.print(plain_text(_footer(report), style="dim"))


def _print_table(table: Table, page: Console) -> None:
    """Prints a table without the blanks that fill up its lines."""
    with page.capture() as captured:
        page.print(Padding(table, (0, 0, 0, 2), expand=False))
    page.file.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def _headline(report: Report, story: Story) -> Text:
    """All in one line: ``9 messages: 12 sent, 1 bounced; 3 rejected; 1 left in the queue``."""
    fates = [fate.status for message in story.messages for fate in message.fates]
    text = _count(len(story.messages), "message")
    for number, status in enumerate(s for s in _STATUS_STYLE if s in fates):
        text.append(": " if number == 0 else ", ")
        text.append(f"{fates.count(status)} {status}", _STATUS_STYLE[status])
    rejected = sum(1 for item in story.rejects if item.kind.endswith("reject"))
    if rejected:
        text.append("; ").append(f"{rejected} rejected", "red")
    if report.outcome.queue:
        text.append("; ").append(f"{len(report.outcome.queue)} left in the queue", "yellow")
    return text


def _count(number: int, what: str) -> Text:
    return Text(f"{number or 'no'} {what}{'' if number == 1 else 's'}", style="bold")


def _where(report: Report) -> str:
    if not report.started:
        return report.name
    return f"{report.name}   {date(report.started)} to {date(report.ended)}"


def _parts(
    report: Report, story: Story, *, dialogue: bool, log: bool
) -> Iterable[tuple[str, Sequence[Table | Text]]]:
    outcome = report.outcome
    if dialogue:
        for client in outcome.clients:
            yield f"Client {client.who}", _transcript(client)
        for peer in outcome.peers:
            yield f"Peer {peer.who}", _transcript(peer)
    elif story.fingerprints:
        yield "Sessions", [_sessions(report, story)]
    if story.messages:
        yield "Messages", _messages(report, story.messages)
    if story.rejects:
        yield "Decisions on the way in", _rejects(report, story)
    if outcome.queue:
        yield "Left in the queue", _queue(report)
    if outcome.commands:
        yield "Commands", _commands(report)
    if log:
        yield "Mail log", _log(report)
    elif story.troubles:
        yield "Warnings in the mail log", [_troubles(report, story)]
    if report.doubts:
        yield "Do not trust this outcome", [plain_text(line, "red") for line in report.doubts]
    if report.unheeded:
        told = [plain_text(line, "yellow") for line in report.unheeded]
        yield "Settings that real Postfix would heed", told
    if report.unused:
        yield "Never used by this run", [plain_text(line, style="yellow") for line in report.unused]


def _table(*columns: str | tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        name, how = (column, "") if isinstance(column, str) else column
        table.add_column(
            name,
            justify="right" if how == "right" else "left",
            no_wrap=how in ("right", "whole"),
            overflow="fold",
            ratio=3 if how == "wide" else None,
        )
    return table


def _sessions(report: Report, story: Story) -> Table:
    table = _table(("when", "right"), "client", "what it did")
    for item in story.fingerprints:
        when = since(item.moment, report.started)
        table.add_row(plain_text(when), plain_text(item.client), plain_text(str(item) or "nothing"))
    return table


def _messages(report: Report, messages: Sequence[Message]) -> list[Table | Text]:
    """For each message a line of its own, then its recipients."""
    found: list[Table | Text] = []
    recipients = [recipient(fate) for message in messages for fate in message.fates]
    widest = max((len(text) for text in recipients), default=0)
    families = parents(messages)
    for message in messages:
        head = plain_text(f"{message.queue_id} ", "bold").append_text(plain_text(_sender(message)))
        by = origin(message) or families.get(message.queue_id, "")
        parts = (since(message.arrived, report.started), by, _size(message))
        found.append(head.append_text(plain_text("   " + ", ".join(filter(None, parts)), "dim")))
        if message.fates or message.notices:
            found.append(_recipients(report, message, min(widest, _WIDEST)))
        elif message.removed is None:
            found.append(plain_text("  queued", "yellow"))
    return found


def _recipients(report: Report, message: Message, width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(width=2)
    table.add_column(width=9, no_wrap=True)
    table.add_column(width=width, overflow="fold")
    table.add_column(overflow="fold")
    for fate in message.fates:
        tries = ""
        if fate.attempts > 1:
            last = since(fate.last, report.started)
            tries = f"{fate.attempts} tries, the last {last}: "
        table.add_row(
            "",
            plain_text(fate.status, _STATUS_STYLE.get(fate.status, "")),
            plain_text(recipient(fate)),
            plain_text(tries, "bold").append_text(plain_text(reason(fate))),
        )
    for kind, queue_id in message.notices:
        table.add_row("", "", plain_text(f"{kind}", "dim"), plain_text(queue_id, "dim"))
    return table


def _sender(message: Message) -> str:
    return "from ?" if message.sender is None else f"from {message.sender or '<>'}"


def origin(message: Message) -> str:
    """Who brought a message."""
    pickup = _UID.fullmatch(message.origin)
    if pickup:
        return f"submitted by {pickup[1]}"
    client = message.origin.removeprefix("client=")
    return f"by {client}" if client else ""


def parents(messages: Sequence[Message]) -> dict[str, str]:
    """For messages of the mail system's own: what they are, and of which message."""
    found = {}
    for message in messages:
        for kind, queue_id in message.notices:
            found[queue_id] = f"{kind} of {message.queue_id}"
        for fate in message.fates:
            if forwarded := _FORWARDED.fullmatch(fate.reason):
                found[forwarded[1]] = f"forwarded from {message.queue_id}"
    return found


def _size(message: Message) -> str:
    return f"{message.size} bytes" if message.size else ""


def recipient(fate: Fate) -> str:
    """A recipient, and the address that was given for it where that differs."""
    if fate.original and fate.original.lower() != fate.recipient.lower():
        return f"{fate.recipient} for {fate.original}"
    return fate.recipient


def reason(fate: Fate) -> str:
    """What was said at the last attempt, and by whom."""
    told = fate.relay in ("", "none") or fate.reason.startswith(("host ", "connect to "))
    return fate.reason if told else f"{_RELAY.sub('', fate.relay)}: {fate.reason}"


def _rejects(report: Report, story: Story) -> list[Text]:
    """Two lines each: who, when, what about; and what was said."""
    found = []
    for item in story.rejects:
        what = f"{item.kind} at {item.stage}" if item.stage else item.kind
        line = plain_text(what, "red" if "reject" in item.kind else "yellow")
        line.append_text(plain_text(f"   {item.client}"))
        if item.sender is not None or item.recipient is not None:
            line.append_text(plain_text(f"   {item.sender or '<>'} to {item.recipient or '?'}"))
        line.append_text(plain_text(f"   {since(item.moment, report.started)}", "dim"))
        found += [line, plain_text(f"    {item.reply}")]
    return found


def _queue(report: Report) -> list[Text]:
    found = []
    for entry in report.outcome.queue:
        line = plain_text(f"{entry.queue_id} ", "bold").append_text(
            plain_text(entry.queue, "yellow")
        )
        found.append(line.append_text(plain_text(f" from {entry.sender or '<>'}")))
        for item in entry.recipients:
            reason = f"   {item.reason}" if item.reason else ""
            found.append(plain_text(f"    {item.address}{reason}"))
    return found


def _commands(report: Report) -> list[Text]:
    parts: list[Text] = []
    for item in report.outcome.commands:
        line = plain_text(f"$ {item.command}", style="bold")
        if item.exit:
            line.append(f"   exit {item.exit}", style="red")
        parts.append(line)
        if item.output:
            parts += [plain_text(line) for line in item.output.rstrip("\n").split("\n")]
    return parts


_SPEAKER_STYLE = {"S": "", "C": "bold", "*": "dim"}


def _transcript(dialogue: Dialogue) -> list[Text]:
    return [
        plain_text(line, style=_SPEAKER_STYLE.get(line[:1], "")) for line in dialogue.transcript
    ]


def _log(report: Report) -> list[Text]:
    parts = []
    for number, line in enumerate(report.outcome.log):
        moment = report.moments[number] if number < len(report.moments) else 0
        text = plain_text(f"{date(moment)} " if moment else "", style="dim")
        parts.append(text.append_text(plain_text(line, _line_style(line))))
    return parts


def _line_style(line: str) -> str:
    text = line.partition("]: ")[2]
    if text.startswith(("fatal: ", "panic: ", "error: ")):
        return "not dim red"
    return "not dim yellow" if text.startswith("warning: ") else "not dim"


def _troubles(report: Report, story: Story) -> Table:
    """The warnings, each once, with how often it came."""
    table = _table(("when", "right"), "who", ("what", "wide"))
    found = grouped(story.troubles)
    for line, count in found[:_MOST_TROUBLES]:
        when = since(line.moment, report.started)
        what = plain_text(line.text)
        if count > 1:
            what.append(f" ({count} times)", "dim")
        table.add_row(plain_text(when), plain_text(line.service), what)
    if len(found) > _MOST_TROUBLES:
        more = len(found) - _MOST_TROUBLES
        table.add_row("", "", plain_text(f"and {more} more (--log shows all)", style="dim"))
    return table


def grouped(lines: Iterable[Line]) -> list[tuple[Line, int]]:
    """(the first, how many) of the lines that say the same, but for process ids."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line.service, _PID.sub("pid", line.text)), []).append(line)
    return [(same[0], len(same)) for same in found.values()]


def _footer(report: Report) -> str:
    took = f"{report.cpu * 1000:.0f} ms of CPU time"
    world = duration((report.ended - report.started) / 1e6)
    text = f"{world} in the world, {took}; seed {report.seed}"
    if report.trace_hash:
        text += f", trace {report.trace_hash[:16]}"
    return text


def counts(report: Report, story: Story) -> list[int]:
    """How many were sent, deferred, bounced, rejected, and are left in the queue."""
    fates = [fate.status for message in story.messages for fate in message.fates]
    return [
        fates.count("sent"),
        fates.count("deferred"),
        fates.count("bounced") + fates.count("expired"),
        sum(1 for item in story.rejects if item.kind.endswith("reject")),
        len(report.outcome.queue),
    ]


def overview(rows: Sequence[tuple[str, Report | str]], page: Console) -> None:
    """A line for each of many runs; a text in place of a report says why there is none."""
    table = _table(
        "scenario",
        ("sent", "right"),
        ("deferred", "right"),
        ("bounced", "right"),
        ("rejected", "right"),
        ("queue", "right"),
        ("title", "wide"),
    )
    failed = []
    for name, report in rows:
        if isinstance(report, str):
            failed.append((name, report))
            table.add_row(
                plain_text(name), *[""] * 5, plain_text("no outcome, see below", style="red")
            )
            continue
        numbers = counts(report, read(report.outcome.log, report.moments))
        title = plain_text("not to be trusted: ", "red") if report.doubts else Text()
        title.append_text(plain_text(report.title))
        table.add_row(plain_text(name), *[str(n or "") for n in numbers], title)
    _print_table(table, page)
    for name, said in failed:
        page.print()
        page.print(plain_text(name, style="bold red"))
        page.print(plain_text(said))
    done = len(rows) - len(failed)
    page.print()
    page.print(
        plain_text(
            f"{done} of {len(rows)} scenarios have an outcome", style="red" if failed else "green"
        )
    )

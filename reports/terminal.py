"""Reports for people at a terminal: what became of the messages, and on request every word said.

All texts of a run are drawn as they are: brackets in them are no markup.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports.fates import Fate, Message, Story, read
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
#: Lines of the log that count as trouble, up to so many in a summary.
_MOST_TROUBLES = 12
_NARROWEST = 100


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
    return "\n".join(line.rstrip() for line in page.file.getvalue().splitlines()) + "\n"


def show(report: Report, page: Console, *, dialogue: bool = False, log: bool = False) -> None:
    """Draws the report of one run."""
    story = read(report.outcome.log, report.moments)
    page.print()
    page.print(Text(report.title, style="bold"))
    page.print(Text(_where(report), style="dim"))
    for title, part in _parts(report, story, dialogue=dialogue, log=log):
        page.print()
        page.print(Text(title, style="bold cyan"))
        page.print(part)
    page.print()
    page.print(Text(_footer(report), style="dim"))


def _where(report: Report) -> str:
    if not report.started:
        return report.name
    return f"{report.name}   {date(report.started)} to {date(report.ended)}"


def _parts(
    report: Report, story: Story, *, dialogue: bool, log: bool
) -> Iterable[tuple[str, RenderableType]]:
    outcome = report.outcome
    if dialogue:
        for client in outcome.clients:
            yield f"Client {client.who}", _transcript(client)
        for peer in outcome.peers:
            yield f"Peer {peer.who}", _transcript(peer)
    elif story.fingerprints:
        yield "Sessions", _sessions(report, story)
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
        yield "Warnings in the mail log", _troubles(report, story)
    if report.unused:
        lines = Text("\n".join(report.unused), style="yellow")
        yield "Never used by this run", Padding(lines, (0, 0, 0, 2))


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


def _indented(table: Table) -> RenderableType:
    return Padding(table, (0, 0, 0, 2))


def _sessions(report: Report, story: Story) -> RenderableType:
    table = _table(("when", "right"), "client", "what it did")
    for item in story.fingerprints:
        when = since(item.moment, report.started)
        table.add_row(Text(when), Text(item.client), Text(str(item) or "nothing"))
    return _indented(table)


def _messages(report: Report, messages: Sequence[Message]) -> RenderableType:
    table = _table(
        ("when", "right"),
        ("queue id", "whole"),
        "from",
        "to",
        ("status", "whole"),
        ("tries", "right"),
        ("last", "right"),
        ("where and why", "wide"),
    )
    for message in messages:
        fates = message.fates or [Fate("", status="queued" if message.removed is None else "gone")]
        for number, fate in enumerate(fates):
            first = number == 0
            table.add_row(
                Text(since(message.arrived, report.started) if first else ""),
                Text(message.queue_id if first else "", style="bold"),
                Text(_sender(message) if first else ""),
                _recipient(fate),
                Text(fate.status, style=_STATUS_STYLE.get(fate.status, "")),
                Text(str(fate.attempts or "")),
                Text(since(fate.last, report.started) if fate.attempts > 1 else ""),
                Text(_reason(fate)),
            )
        for kind, queue_id in message.notices:
            table.add_row("", "", "", "", "", "", "", Text(f"{kind}: {queue_id}", style="dim"))
    return _indented(table)


def _sender(message: Message) -> str:
    return "?" if message.sender is None else message.sender or "<>"


def _recipient(fate: Fate) -> Text:
    text = Text(fate.recipient)
    if fate.original and fate.original.lower() != fate.recipient.lower():
        text.append(f"\nfor {fate.original}", style="dim")
    return text


def _reason(fate: Fate) -> str:
    told = fate.relay in ("", "none") or fate.reason.startswith(("host ", "connect to "))
    return fate.reason if told else f"{fate.relay}: {fate.reason}"


def _rejects(report: Report, story: Story) -> RenderableType:
    table = _table(("when", "right"), "what", "client", "from", "to", ("reply", "wide"))
    for item in story.rejects:
        what = f"{item.kind} at {item.stage}" if item.stage else item.kind
        table.add_row(
            Text(since(item.moment, report.started)),
            Text(what, style="red" if "reject" in item.kind else "yellow"),
            Text(item.client),
            Text("" if item.sender is None else item.sender or "<>"),
            Text(item.recipient or ""),
            Text(item.reply),
        )
    return _indented(table)


def _queue(report: Report) -> RenderableType:
    table = _table(("queue", "whole"), ("queue id", "whole"), "from", "to", ("reason", "wide"))
    for entry in report.outcome.queue:
        for number, item in enumerate(entry.recipients):
            first = number == 0
            table.add_row(
                Text(entry.queue if first else "", style="yellow"),
                Text(entry.queue_id if first else "", style="bold"),
                Text((entry.sender or "<>") if first else ""),
                Text(item.address),
                Text(item.reason),
            )
    return _indented(table)


def _commands(report: Report) -> RenderableType:
    parts: list[RenderableType] = []
    for item in report.outcome.commands:
        line = Text(f"$ {item.command}", style="bold")
        if item.exit:
            line.append(f"   exit {item.exit}", style="red")
        parts.append(line)
        if item.output:
            parts.append(Text(item.output.rstrip("\n"), no_wrap=True, overflow="fold"))
    return Padding(Group(*parts), (0, 0, 0, 2))


_SPEAKER_STYLE = {"S": "", "C": "bold", "*": "dim"}


def _transcript(dialogue: Dialogue) -> RenderableType:
    lines = [Text(line, style=_SPEAKER_STYLE.get(line[:1], "")) for line in dialogue.transcript]
    return Padding(Group(*lines), (0, 0, 0, 2))


def _log(report: Report) -> RenderableType:
    parts = []
    for number, line in enumerate(report.outcome.log):
        moment = report.moments[number] if number < len(report.moments) else 0
        text = Text(f"{date(moment)} " if moment else "", style="dim")
        parts.append(text.append(line, style=_line_style(line)))
    return Padding(Group(*parts), (0, 0, 0, 2))


def _line_style(line: str) -> str:
    text = line.partition("]: ")[2]
    if text.startswith(("fatal: ", "panic: ", "error: ")):
        return "not dim red"
    return "not dim yellow" if text.startswith("warning: ") else "not dim"


def _troubles(report: Report, story: Story) -> RenderableType:
    table = _table(("when", "right"), "who", ("what", "wide"))
    for line in story.troubles[:_MOST_TROUBLES]:
        table.add_row(Text(since(line.moment, report.started)), line.service, Text(line.text))
    if len(story.troubles) > _MOST_TROUBLES:
        more = len(story.troubles) - _MOST_TROUBLES
        table.add_row("", "", Text(f"and {more} more (--log shows all)", style="dim"))
    return _indented(table)


def _footer(report: Report) -> str:
    took = f"{report.cpu * 1000:.0f} ms of CPU time"
    world = duration((report.ended - report.started) / 1e6)
    text = f"{world} in the world, {took}; seed {report.seed}"
    if report.trace_hash:
        text += f", trace {report.trace_hash[:16]}"
    return text


def overview(rows: Sequence[tuple[str, Report | str]], page: Console) -> None:
    """A line for each of many runs; a text in place of a report says why there is none."""
    table = _table("scenario", ("sent", "right"), ("deferred", "right"), ("bounced", "right"),
                   ("rejected", "right"), ("queue", "right"), ("title", "wide"))
    failed = []
    for name, report in rows:
        if isinstance(report, str):
            failed.append((name, report))
            table.add_row(Text(name), *[""] * 5, Text("no outcome, see below", style="red"))
            continue
        story = read(report.outcome.log, report.moments)
        fates = [fate.status for message in story.messages for fate in message.fates]
        rejected = sum(1 for item in story.rejects if item.kind.endswith("reject"))
        counts = [
            fates.count("sent"),
            fates.count("deferred"),
            fates.count("bounced") + fates.count("expired"),
            rejected,
            len(report.outcome.queue),
        ]
        table.add_row(Text(name), *[str(n or "") for n in counts], Text(report.title))
    page.print(table)
    for name, said in failed:
        page.print()
        page.print(Text(name, style="bold red"))
        page.print(Text(said))
    done = len(rows) - len(failed)
    page.print()
    page.print(Text(f"{done} of {len(rows)} scenarios have an outcome",
                    style="red" if failed else "green"))

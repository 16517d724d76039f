"""Reports for people at a terminal: what became of the messages, and on request every word said.

All texts of a run are drawn as they are: brackets in them are no markup.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
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

#: Bytes that would do something to a terminal, or are no text, become question marks.
_UNPRINTABLE = dict.fromkeys(
    (*range(9), *range(11, 32), *range(127, 160), *range(0xDC80, 0xDD00)), "?"
)


def _text(text: str, style: str = "") -> Text:
    return Text(text.translate(_UNPRINTABLE), style=style)


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
    page.print(_text(report.title, style="bold"))
    page.print(_text(_where(report), style="dim"))
    for title, part in _parts(report, story, dialogue=dialogue, log=log):
        page.print()
        page.print(_text(title, style="bold cyan"))
        if isinstance(part, Table):
            page.print(Padding(part, (0, 0, 0, 2), expand=False))
        else:
            for line in part:
                page.print(_text("  ").append_text(line), soft_wrap=True)
    page.print()
    page.print(_text(_footer(report), style="dim"))


def _where(report: Report) -> str:
    if not report.started:
        return report.name
    return f"{report.name}   {date(report.started)} to {date(report.ended)}"


def _parts(
    report: Report, story: Story, *, dialogue: bool, log: bool
) -> Iterable[tuple[str, Table | list[Text]]]:
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
    if report.doubts:
        yield "Do not trust this outcome", [_text(line, "red") for line in report.doubts]
    if report.unused:
        yield "Never used by this run", [_text(line, style="yellow") for line in report.unused]


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
        table.add_row(_text(when), _text(item.client), _text(str(item) or "nothing"))
    return table


def _messages(report: Report, messages: Sequence[Message]) -> Table:
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
                _text(since(message.arrived, report.started) if first else ""),
                _text(message.queue_id if first else "", style="bold"),
                _text(_sender(message) if first else ""),
                _recipient(fate),
                _text(fate.status, style=_STATUS_STYLE.get(fate.status, "")),
                _text(str(fate.attempts or "")),
                _text(since(fate.last, report.started) if fate.attempts > 1 else ""),
                _text(_reason(fate)),
            )
        for kind, queue_id in message.notices:
            table.add_row("", "", "", "", "", "", "", _text(f"{kind}: {queue_id}", style="dim"))
    return table


def _sender(message: Message) -> str:
    return "?" if message.sender is None else message.sender or "<>"


def _recipient(fate: Fate) -> Text:
    text = _text(fate.recipient)
    if fate.original and fate.original.lower() != fate.recipient.lower():
        text.append_text(_text(f"\nfor {fate.original}", "dim"))
    return text


def _reason(fate: Fate) -> str:
    told = fate.relay in ("", "none") or fate.reason.startswith(("host ", "connect to "))
    return fate.reason if told else f"{fate.relay}: {fate.reason}"


def _rejects(report: Report, story: Story) -> Table:
    table = _table(("when", "right"), "what", "client", "from", "to", ("reply", "wide"))
    for item in story.rejects:
        what = f"{item.kind} at {item.stage}" if item.stage else item.kind
        table.add_row(
            _text(since(item.moment, report.started)),
            _text(what, style="red" if "reject" in item.kind else "yellow"),
            _text(item.client),
            _text("" if item.sender is None else item.sender or "<>"),
            _text(item.recipient or ""),
            _text(item.reply),
        )
    return table


def _queue(report: Report) -> Table:
    table = _table(("queue", "whole"), ("queue id", "whole"), "from", "to", ("reason", "wide"))
    for entry in report.outcome.queue:
        for number, item in enumerate(entry.recipients):
            first = number == 0
            table.add_row(
                _text(entry.queue if first else "", style="yellow"),
                _text(entry.queue_id if first else "", style="bold"),
                _text((entry.sender or "<>") if first else ""),
                _text(item.address),
                _text(item.reason),
            )
    return table


def _commands(report: Report) -> list[Text]:
    parts: list[Text] = []
    for item in report.outcome.commands:
        line = _text(f"$ {item.command}", style="bold")
        if item.exit:
            line.append(f"   exit {item.exit}", style="red")
        parts.append(line)
        if item.output:
            parts += [_text(line) for line in item.output.rstrip("\n").split("\n")]
    return parts


_SPEAKER_STYLE = {"S": "", "C": "bold", "*": "dim"}


def _transcript(dialogue: Dialogue) -> list[Text]:
    return [_text(line, style=_SPEAKER_STYLE.get(line[:1], "")) for line in dialogue.transcript]


def _log(report: Report) -> list[Text]:
    parts = []
    for number, line in enumerate(report.outcome.log):
        moment = report.moments[number] if number < len(report.moments) else 0
        text = _text(f"{date(moment)} " if moment else "", style="dim")
        parts.append(text.append_text(_text(line, _line_style(line))))
    return parts


def _line_style(line: str) -> str:
    text = line.partition("]: ")[2]
    if text.startswith(("fatal: ", "panic: ", "error: ")):
        return "not dim red"
    return "not dim yellow" if text.startswith("warning: ") else "not dim"


def _troubles(report: Report, story: Story) -> Table:
    table = _table(("when", "right"), "who", ("what", "wide"))
    for line in story.troubles[:_MOST_TROUBLES]:
        when = since(line.moment, report.started)
        table.add_row(_text(when), _text(line.service), _text(line.text))
    if len(story.troubles) > _MOST_TROUBLES:
        more = len(story.troubles) - _MOST_TROUBLES
        table.add_row("", "", _text(f"and {more} more (--log shows all)", style="dim"))
    return table


def _footer(report: Report) -> str:
    took = f"{report.cpu * 1000:.0f} ms of CPU time"
    world = duration((report.ended - report.started) / 1e6)
    text = f"{world} in the world, {took}; seed {report.seed}"
    if report.trace_hash:
        text += f", trace {report.trace_hash[:16]}"
    return text


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
            table.add_row(_text(name), *[""] * 5, _text("no outcome, see below", style="red"))
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
        table.add_row(_text(name), *[str(n or "") for n in counts], _text(report.title))
    page.print(table)
    for name, said in failed:
        page.print()
        page.print(_text(name, style="bold red"))
        page.print(_text(said))
    done = len(rows) - len(failed)
    page.print()
    page.print(
        _text(
            f"{done} of {len(rows)} scenarios have an outcome", style="red" if failed else "green"
        )
    )

"""Reports as pages of HTML: one file that needs nothing else, with everything in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from reports.changes import Comparison
from reports.fates import Message, Story, read
from reports.outcome import Dialogue, Report
from reports.terminal import UNPRINTABLE, counts, grouped, origin, parents, reason, recipient
from reports.times import date, since

#: What a line of a transcript begins with, and the class that it gets.
_SPEAKERS = {"C": "client", "*": "event"}


class _Run:
    """A report, and what a page asks of it."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.recipient = recipient
        self.reason = reason

    @cached_property
    def story(self) -> Story:
        """The mail log as messages."""
        return read(self.report.outcome.log, self.report.moments)

    @property
    def messages(self) -> list[Message]:
        """The messages that had a queue id."""
        return self.story.messages

    @property
    def rejects(self) -> Sequence[Any]:
        """Decisions on the way in."""
        return self.story.rejects

    @property
    def troubles(self) -> Sequence[Any]:
        """Warnings and worse, each once, and how often it came."""
        return grouped(self.story.troubles)

    @property
    def counts(self) -> list[int]:
        """Sent, deferred, bounced, rejected, left in the queue."""
        return counts(self.report, self.story)

    @cached_property
    def _parents(self) -> dict[str, str]:
        return parents(self.messages)

    def origin(self, message: Message) -> str:
        """Who brought a message."""
        return origin(message) or self._parents.get(message.queue_id, "")

    @property
    def log(self) -> Iterator[tuple[str, str]]:
        """(date, line) of the mail log."""
        moments = self.report.moments
        for number, line in enumerate(self.report.outcome.log):
            yield date(moments[number]) if number < len(moments) else "", line


def run_page(reports: Iterable[Report]) -> str:
    """A page about runs."""
    runs = [_Run(report) for report in reports]
    return _environment().get_template("run.html.j2").render(runs=runs)


def comparison_page(found: Comparison) -> str:
    """A page about what another configuration changes."""
    doubts = list(dict.fromkeys(doubt for effect in found.effects for doubt in effect.doubts))
    return _environment().get_template("compare.html.j2").render(found=found, doubts=doubts)


def _transcript(dialogue: Dialogue) -> Markup:
    lines = []
    for line in dialogue.transcript:
        style, text = _SPEAKERS.get(line[:1], ""), escape(line.translate(UNPRINTABLE))
        lines.append(Markup('<span class="{}">{}</span>').format(style, text) if style else text)
    return Markup("<pre>{}</pre>").format(Markup("\n").join(lines))


def _finalize(value: Any) -> Any:
    """Texts without what is no text in a page."""
    if isinstance(value, Markup):
        return value
    return value.translate(UNPRINTABLE) if isinstance(value, str) else value


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    made.globals.update(date=date, since=since, transcript=_transcript)
    return made


__all__ = ["comparison_page", "run_page"]

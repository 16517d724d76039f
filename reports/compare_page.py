"""A comparison of two configurations for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from reports.changes import Change, Comparison, Effect, Setting
from reports.terminal import plain_text

_OLD, _NEW = "red", "green"
#: A reply or a table of more lines than this is cut, unless all lines are asked for.
_FEW = 6


def show(found: Comparison, page: Console, *, lines: bool = False) -> None:
    """Draws a comparison; with ``lines`` also each line that differs."""
    page.print()
    page.print(plain_text(f"{found.old} → {found.new}", "bold"))
    page.print()
    page.print(plain_text(found.headline(), "green" if found.same else "bold yellow"))
    if found.settings:
        _heading(page, "What differs in the files")
        for setting in found.settings:
            _say(page, _setting(setting, lines))
    for effect in found.changed:
        _heading(page, effect.title, effect.name)
        _say(page, _effect(effect, lines))
    unchanged = [effect for effect in found.effects if effect.same]
    if unchanged and found.changed:
        _heading(page, "Nothing changes in")
        _say(page, (plain_text(effect.title) for effect in unchanged))
    if found.assumed:
        _heading(page, "Assumed, since no scenario says it")
        _say(page, (plain_text(line, "dim") for line in found.assumed))
    doubts = list(dict.fromkeys(doubt for effect in found.effects for doubt in effect.doubts))
    if doubts:
        _heading(page, "Not certain")
        _say(page, (plain_text(doubt, "yellow") for doubt in doubts))
    page.print()


def _heading(page: Console, title: str, name: str = "") -> None:
    page.print()
    text = plain_text(title, "bold cyan")
    page.print(text.append_text(plain_text(f"   {name}", "dim")) if name else text)


def _say(page: Console, lines: Iterable[Text]) -> None:
    for line in lines:
        page.print(Text("  ").append_text(line), soft_wrap=True)


def _setting(setting: Setting, lines: bool) -> Iterable[Text]:
    yield plain_text(setting.name, "bold")
    for sign, value, default, style in (
        ("-", setting.old, setting.old_is_default, _OLD),
        ("+", setting.new, setting.new_is_default, _NEW),
    ):
        told = plain_text(f"  {sign} {_flat(value) or '(empty)'}", style)
        if default:
            told.append(" (default)", "dim")
        if value or default or not setting.detail:
            yield told
    yield from _detail(setting.detail, lines, always=True)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _effect(effect: Effect, lines: bool) -> Iterable[Text]:
    if effect.error:
        yield plain_text(effect.error, "red")
    for heading, changes in effect.by_kind():
        yield plain_text(heading, "cyan")
        for change in changes:
            yield from (Text("  ").append_text(line) for line in _change(change, lines))


def _change(change: Change, lines: bool) -> Iterable[Text]:
    if change.kind in ("session", "log", "question"):
        yield plain_text(f"{change.what}: {change.old} → {change.new}")
        yield from _detail(change.detail, lines)
        return
    if change.kind not in ("decision", "queue", "warning"):
        yield plain_text(change.what, "bold")
    for sign, text, style in (("-", change.old, _OLD), ("+", change.new, _NEW)):
        if text:
            yield from (plain_text(f"  {sign} {line}", style) for line in text.split("\n"))
    yield from _detail(change.detail, lines, always=change.kind == "arrival")


def _detail(detail: tuple[str, ...], lines: bool, *, always: bool = False) -> Iterable[Text]:
    if not lines and not always:
        return
    shown = detail if lines else detail[:_FEW]
    for line in shown:
        style = {"-": _OLD, "+": _NEW}.get(line[:1], "dim")
        yield plain_text(f"    {line}", style)
    if len(detail) > len(shown):
        yield plain_text(f"    … and {len(detail) - len(shown)} lines more (--lines)", "dim")

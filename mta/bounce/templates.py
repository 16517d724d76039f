"""The four templates of bounce(8), and the file with the user's (``bounce_template_file``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mta.bounce.template import (
    CLASS_DELAY,
    CLASS_FAILURE,
    CLASS_SUCCESS,
    CLASS_VERIFY,
    Template,
)
from mta.dict.process import absolute_path
from mta.util.scalars import split_name_value
from mta.wire.text import to_text

if TYPE_CHECKING:
    from mta.master.server import Process

_SPACE = " \t\n\v\f\r"
_CLASSES = (CLASS_FAILURE, CLASS_DELAY, CLASS_SUCCESS, CLASS_VERIFY)


class Templates:
    """The templates of a process."""

    def __init__(self, process: Process) -> None:
        """Loads the user's templates.  A file that cannot be read, or makes no sense, is fatal."""
        self.process = process
        self._by_class: dict[str, Template] = {}  #: those that were asked for
        path: str = process.conf.bounce_template_file
        if path:
            try:
                data = process.system.files.read(absolute_path(process, path))
            except OSError as error:
                process.log.fatal(f"open {path}: {error.strerror}")
            self.load(path, to_text(data))

    def _of(self, class_: str) -> Template:
        template = self._by_class.get(class_)
        if template is None:
            template = self._by_class[class_] = Template(self.process, class_)
        return template

    @property
    def failure(self) -> Template:
        """Undeliverable mail."""
        return self._of(CLASS_FAILURE)

    @property
    def delay(self) -> Template:
        """Delayed mail."""
        return self._of(CLASS_DELAY)

    @property
    def success(self) -> Template:
        """Delivered, expanded or relayed, as the sender wanted to know."""
        return self._of(CLASS_SUCCESS)

    @property
    def verify(self) -> Template:
        """``sendmail -bv`` and ``sendmail -v``."""
        return self._of(CLASS_VERIFY)

    def load(self, path: str, text: str) -> None:
        """Takes the templates of a file, each ``class_template = <<MARKER``, lines, ``MARKER``."""
        log = self.process.log
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        place = 0
        while place < len(lines):
            line = lines[place]
            place += 1
            if line.lstrip(_SPACE)[:1] in ("", "#"):
                continue
            pair = split_name_value(line)
            if isinstance(pair, str):
                log.fatal(f'{path}, line {place + 1}: {pair}: "{line}"')
            name, value = pair
            if value.startswith("<<"):
                marker = value[2:].lstrip(_SPACE)
                if not marker:
                    log.fatal(f"{path}, line {place + 1}: missing end marker after <<")
                if not (marker[0].isascii() and marker[0].isalnum()):
                    log.fatal(f"{path}, line {place + 1}: malformed end marker after <<")
                end = place
                while end < len(lines) and lines[end] != marker:
                    end += 1
                value = "\n".join(lines[place:end])
                place = min(end + 1, len(lines))
                if end == len(lines):
                    log.warning(f'{path}, line {end + 1}: missing "{marker}" end marker')
            self._take(path, place + 1, name, value)

    def _take(self, path: str, line: int, name: str, value: str) -> None:
        class_ = name.removesuffix("_template")
        if class_ not in _CLASSES or class_ == name:
            self.process.log.warning(
                f"{path}, line {line}: unknown template name: {name} -- ignoring this template"
            )
            return
        self._of(class_).load(path, value)

    def dump(self) -> list[str]:
        """All templates in the form of the file."""
        return self._all(lambda name: f"{name}_template", Template.dump)

    def expanded(self) -> list[str]:
        """The texts of all templates with their parameters expanded."""
        return self._all(lambda name: f"expanded_{name}_text", Template.expand)

    def _all(self, title: Callable[[str], str], body: Callable[[Template], list[str]]) -> list[str]:
        lines: list[str] = []
        for name in _CLASSES:
            lines += [f"{title(name)} = <<EOF", *body(self._of(name)), "EOF", ""]
        return lines[:-1]

"""milter(3) - the filters of a service, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mta.lib.milters.content import message
from mta.lib.milters.edits import Editor, Reply
from mta.lib.milters.macros import MacroLookup, default_names, evaluate
from mta.lib.milters.milter8 import Milter8
from mta.lib.milters.settings import parse_milters
from mta.system import Wait

if TYPE_CHECKING:
    from mta.master.server import Process

#: Of rcpt_event: the recipient is rejected, so that only those hear of it who want to.
MILTER_FLAG_WANT_RCPT_REJ = 1 << 0

#: Tells one filter of an event, with macros.
_Tell = Callable[[Milter8, bytes], Wait[Reply]]


class Milters:
    """The filters of one process.  An event goes to one after the other, until one answers with
    something else than "go on": then this is the answer, and the rest does not hear of the event.
    """

    __slots__ = ("editor", "filters", "lookup", "macro_names", "process")

    def __init__(
        self, process: Process, filters: list[Milter8], macro_names: dict[str, str]
    ) -> None:
        """``macro_names``: those that filters get which do not ask for others, by stage."""
        self.process = process
        self.filters = filters
        self.macro_names = macro_names
        self.lookup: MacroLookup | None = None
        self.editor: Editor | None = None

    def macro_callback(self, lookup: MacroLookup) -> None:
        """Who knows the values of macros, such as ``{client_addr}``."""
        self.lookup = lookup

    def edit_callback(self, editor: Editor) -> None:
        """Who carries out requests to change the message."""
        self.editor = editor

    # -- events

    def _report(self, stage: str, filters: list[Milter8], tell: _Tell) -> Wait[Reply]:
        shared: bytes | None = None
        for milter in filters:
            names = milter.macro_names.get(stage)
            if names:
                macros = yield from evaluate(self.lookup, names)
            else:
                if shared is None:
                    shared = yield from evaluate(self.lookup, self.macro_names[stage])
                macros = shared
            reply = yield from tell(milter, macros)
            if reply is not None:
                return reply
        return None

    def conn_event(self, name: str, addr: str, port: str, family: int) -> Wait[Reply]:
        """A client connects; ``family`` is AF_INET and the like, ``port`` "0" for none."""
        client = (name, addr, port, family)
        return self._report("connect", self.filters, lambda m, macros: m.conn_event(client, macros))

    def helo_event(self, name: str, esmtp: bool) -> Wait[Reply]:
        """HELO or EHLO."""
        return self._report("helo", self.filters, lambda m, macros: m.helo_event(name, macros))

    def mail_event(self, argv: Sequence[str]) -> Wait[Reply]:
        """MAIL FROM: the address and the ESMTP parameters."""
        return self._report("mail", self.filters, lambda m, macros: m.mail_event(argv, macros))

    def rcpt_event(self, flags: int, argv: Sequence[str]) -> Wait[Reply]:
        """RCPT TO; ``flags``: MILTER_FLAG_WANT_RCPT_REJ for recipients that we reject."""
        filters = self.filters
        if flags & MILTER_FLAG_WANT_RCPT_REJ:
            filters = [milter for milter in filters if milter.wants_rejected]
        return self._report("rcpt", filters, lambda m, macros: m.rcpt_event(argv, macros))

    def data_event(self) -> Wait[Reply]:
        """DATA."""
        return self._report("data", self.filters, lambda m, macros: m.data_event(macros))

    def unknown_event(self, command: str) -> Wait[Reply]:
        """A command that the server does not know."""
        return self._report(
            "unknown", self.filters, lambda m, macros: m.unknown_event(command, macros)
        )

    def other_event(self) -> Reply:
        """The answer to commands that filters do not hear of: one that they gave before."""
        replies = (milter.def_reply for milter in self.filters)
        return next((reply for reply in replies if reply is not None), None)

    def message(
        self, data: bytearray, offset: int, auto_headers: Sequence[str], too_big: str = ""
    ) -> Wait[Reply]:
        """The content, from the queue file's records at an offset, without the headers that we
        have put in front; then the end of the message, and the edits.  Each filter sees the changes
        of those before it.  ``too_big``: the file's name, where it has more than it may have.
        """
        shared: dict[str, bytes] = {}
        for milter in self.filters:
            macros = []
            for stage in ("eoh", "eom"):
                names = milter.macro_names.get(stage)
                if names:
                    macros.append((yield from evaluate(self.lookup, names)))
                    continue
                if stage not in shared:
                    shared[stage] = yield from evaluate(self.lookup, self.macro_names[stage])
                macros.append(shared[stage])
            reply = yield from message(
                milter, data, offset, (macros[0], macros[1]), auto_headers, self.editor, too_big
            )
            if reply is not None:
                return reply
        return None

    def abort(self) -> Wait[None]:
        """The transaction ends."""
        for milter in self.filters:
            yield from milter.abort()

    def disc_event(self) -> Wait[None]:
        """The client is gone."""
        for milter in self.filters:
            yield from milter.disc_event()

    def lose(self) -> None:
        """The process dies: its connections end without a word."""
        for milter in self.filters:
            milter.lose()

    # -- handing over

    def dummy(self) -> HandOver:
        """No filters at all, so that cleanup(8) does not use its own."""
        return HandOver([], self.macro_names)

    def send(self) -> Wait[HandOver]:
        """The filters that still want to hear of the message, for cleanup(8)."""
        active = [milter for milter in self.filters if milter.active]
        for milter in active:
            if milter.connection is not None:
                yield from milter.connection.flush()
        return HandOver(active, self.macro_names)


class HandOver:
    """Filters on their way to another process, which shares their connections."""

    __slots__ = ("_filters", "_macro_names")

    def __init__(self, filters: list[Milter8], macro_names: dict[str, str]) -> None:
        self._filters = filters
        self._macro_names = macro_names

    def receive(self, process: Process) -> Milters:
        """The filters of the process that takes them over."""
        copies = [milter.copy(process) for milter in self._filters]
        return Milters(process, copies, self._macro_names)


def milters_create(process: Process, spec: str) -> Milters:
    """The filters that a parameter names.  Logs a fatal error, and raises Fatal, where it makes no
    sense.
    """
    filters = [Milter8(process, name, settings) for name, settings in parse_milters(process, spec)]
    return Milters(process, filters, default_names(process))

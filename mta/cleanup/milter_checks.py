"""``milter_header_checks``: what may be done about headers that milters add (cleanup_milter)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.cleanup.body_edit import overwrite, pointer
from mta.cleanup.state import CLEANUP_FLAG_FILTER_ALL
from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_LOCK
from mta.dict.registry import handles
from mta.lib.cleanup_strerror import cleanup_stat_detail
from mta.lib.header_body_checks import (
    HBC_UNKNOWN,
    CheckAction,
    HeaderChecks,
    Unknown,
    reject_reason,
)
from mta.lib.maps import Maps
from mta.lib.requests import (
    CLEANUP_FLAG_DISCARD,
    CLEANUP_FLAG_HOLD,
    CLEANUP_STAT_CONT,
    CLEANUP_STAT_DEFER,
    CLEANUP_STAT_WRITE,
)
from mta.system import Wait
from mta.wire.mime_state import MIME_HDR_PRIMARY
from mta.wire.record import REC_TYPE_FILT, REC_TYPE_RDR
from mta.wire.text import cut, to_bytes, to_text

if TYPE_CHECKING:
    from mta.cleanup.state import State

_PARAMETER = "milter_header_checks"


class MilterHeaderChecks:
    """The checks of one message.  ``reply`` in the state is what the milter library is told."""

    def __init__(self, state: State) -> None:
        process = state.process
        spec = process.conf.milter_header_checks
        known = set(handles(process))
        maps = Maps(process, _PARAMETER, spec, DICT_FLAG_LOCK)
        self.opened = [handle for handle in handles(process) if handle not in known]
        self.state = state
        self.checks = HeaderChecks(self, maps, None, None, can_extend=True)

    def close(self) -> None:
        """Closes the tables that nobody else uses: the next message opens them anew."""
        tables = handles(self.state.process)
        for handle in self.opened:
            del tables[handle]

    def check(self, text: bytes) -> Wait[bytes | None]:
        """The header as it is to be, None to drop it."""
        state = self.state
        shown = to_text(text)
        try:
            result = yield from self.checks.check(MIME_HDR_PRIMARY, None, shown, 0)
        except TableError:
            state.warn(f"{_PARAMETER} map lookup problem -- message not accepted, try again later")
            state.errs |= CLEANUP_STAT_WRITE
            return None
        if result is None:
            return None
        return text if result is shown else to_bytes(result)

    # -- what the checks ask for

    def log(self, action: str, where: str, line: str, text: str) -> None:
        """``QUEUEID: milter-header-action: header ...``."""
        state = self.state
        client = state.client
        shown = (
            f"{state.queue_id}: milter-{where}-{action}: {where} {cut(line, 60)} "
            f"from {client.name}[{client.addr}];"
        )
        if state.sender is not None:
            shown += f" from=<{state.sender}>"
        if state.recip is not None:
            shown += f" to=<{state.recip}>"
        if "log_protocol_name" in state.attr:
            shown += f" proto={state.attr['log_protocol_name']}"
        if "log_helo_name" in state.attr:
            shown += f" helo=<{state.attr['log_helo_name']}>"
        state.process.log.info(f"{shown}: {text}")

    def warn(self, text: str) -> None:
        """A table has a mistake in it."""
        self.state.process.log.warning(text)

    def prepend(self, text: str, offset: int) -> None:
        """PREPEND is not implemented here, nor in Postfix."""
        self.warn("the milter_header/body_checks prepend action is not implemented")

    def extend(
        self, action: CheckAction, where: str, line: str, offset: int
    ) -> Wait[str | Unknown | None]:
        """The actions that decide about the message."""
        from mta.cleanup.milter_edit import Edits

        state = self.state
        verb, text = action
        if not state.flags & CLEANUP_FLAG_FILTER_ALL:
            return line
        if verb == "BCC":
            if "@" not in text:
                self.warn(f'bad BCC address "{text}" in {_PARAMETER} map -- need user@domain')
            else:
                self.log("bcc", where, line, text)
                yield from Edits(state).add_rcpt_par(text, "")
        elif verb == "REJECT":
            self._reject(where, line, text)
        elif verb == "FILTER":
            if not text:
                self.warn(f"missing FILTER command argument in {_PARAMETER} map")
            elif ":" not in text:
                self.warn(
                    f"bad FILTER command {text} in {_PARAMETER} -- need transport:destination"
                )
            else:
                state.filter = text
                self.log("filter", where, line, text)
        elif verb == "DISCARD":
            self.log("discard", where, line, text)
            state.milter_hbc_reply = "D"
            state.flags |= CLEANUP_FLAG_DISCARD
            state.flags &= ~CLEANUP_FLAG_FILTER_ALL
        elif verb == "HOLD":
            if not state.flags & (CLEANUP_FLAG_HOLD | CLEANUP_FLAG_DISCARD):
                self.log("hold", where, line, text)
                state.flags |= CLEANUP_FLAG_HOLD
        elif verb == "REDIRECT":
            if "@" not in text:
                self.warn(f'bad REDIRECT target "{text}" in {_PARAMETER} map -- need user@domain')
            else:
                state.redirect = text
                self.log("redirect", where, line, text)
                state.flags &= ~CLEANUP_FLAG_FILTER_ALL
        else:
            return HBC_UNKNOWN
        return line

    def _reject(self, where: str, line: str, text: str) -> None:
        state = self.state
        state.reason = reason = reject_reason(text, self.warn)
        state.errs |= CLEANUP_STAT_DEFER if reason[0] == "4" else CLEANUP_STAT_CONT
        state.flags &= ~CLEANUP_FLAG_FILTER_ALL
        self.log("reject", where, line, reason)
        code = str(cleanup_stat_detail(CLEANUP_STAT_CONT).smtp)
        state.milter_hbc_reply = f"{reason[0]}{code[1:]} {reason}"


def checks_init(state: State) -> None:
    """Before the milters: what the content's own checks have decided is in the file already."""
    state.milter_hbc_checks = MilterHeaderChecks(state)
    state.milter_hbc_reply = ""
    state.filter = None
    state.redirect = None


def checks_finish(state: State) -> None:
    """After the milters: writes what the checks have decided."""
    if state.milter_hbc_checks is not None:
        state.milter_hbc_checks.close()
    state.milter_hbc_checks = None
    state.milter_hbc_reply = None
    lost = state.flags & CLEANUP_FLAG_DISCARD or state.errs & CLEANUP_STAT_CONT
    if state.ok and not lost and (state.filter is not None or state.redirect is not None):
        _add_meta_records(state)


def _add_meta_records(state: State) -> None:
    """FILTER and REDIRECT records at the end of the file, and pointers there and back."""
    if state.append_meta_pt_offset < 0 or state.append_meta_pt_target < 0:
        state.process.log.panic(
            "cleanup_milter_hbc_add_meta_records: no meta append pointer location"
        )
    new = len(state.out)
    if state.filter is not None:
        state.put_text(REC_TYPE_FILT, state.filter)
    if state.redirect is not None:
        state.put_text(REC_TYPE_RDR, state.redirect)
    back = len(state.out)
    state.put_ptr(state.append_meta_pt_target)
    if state.ok:
        overwrite(state.out, state.append_meta_pt_offset, pointer(new))
    state.append_meta_pt_offset = back

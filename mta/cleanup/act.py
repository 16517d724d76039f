"""What header and body checks make cleanup(8) do with a message (cleanup_act)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.cleanup.state import CLEANUP_FLAG_FILTER_ALL
from mta.lib.header_body_checks import HBC_CTXT_HEADER, CheckAction, cleanup_action
from mta.lib.requests import (
    CLEANUP_FLAG_DISCARD,
    CLEANUP_FLAG_HOLD,
    CLEANUP_STAT_CONT,
    CLEANUP_STAT_DEFER,
)
from mta.wire.text import cut, to_bytes

if TYPE_CHECKING:
    from mta.cleanup.state import State

#: Where a match was found that is neither a header nor a line of the body.
CTXT_ANY = "content"


def act_log(state: State, action: str, where: str, content: str, text: str) -> None:
    """``QUEUEID: action: where content from origin; from=<> to=<> proto= helo=: text``."""
    attr = state.attr
    line = (
        f"{state.queue_id}: {action}: {where} {cut(content, 200)} "
        f"from {attr.get('log_message_origin', 'unknown')};"
    )
    if state.sender is not None:
        line += f" from=<{state.sender}>"
    if state.recip is not None:
        line += f" to=<{state.recip}>"
    if "log_protocol_name" in attr:
        line += f" proto={attr['log_protocol_name']}"
    if "log_helo_name" in attr:
        line += f" helo=<{attr['log_helo_name']}>"
    if text:
        line += f": {text}"
    state.process.log.info(line)


def act(state: State, where: str, content: str, value: str, map_class: str) -> str | None:
    """Carries out the result of a lookup.  Returns the header or line as it is to be (the same
    object when nothing happens to it), None to drop it.
    """
    action = cleanup_action(value, where, map_class, state.process.log.warning)
    return carry_out(state, where, content, action)


def carry_out(state: State, where: str, content: str, action: CheckAction) -> str | None:
    """Carries out an action."""
    verb, text = action
    if verb == "DUNNO":
        return content
    if verb == "IGNORE":
        return None
    if verb == "REJECT":
        state.reason = text
        state.errs |= CLEANUP_STAT_DEFER if text[0] == "4" else CLEANUP_STAT_CONT
        state.flags &= ~CLEANUP_FLAG_FILTER_ALL
        act_log(state, "reject", where, content, text)
    elif verb == "WARN":
        act_log(state, "warning", where, content, text)
    elif verb == "DISCARD":
        act_log(state, "discard", where, content, text)
        state.flags |= CLEANUP_FLAG_DISCARD
        state.flags &= ~CLEANUP_FLAG_FILTER_ALL
    elif verb == "HOLD":
        if not state.flags & (CLEANUP_FLAG_HOLD | CLEANUP_FLAG_DISCARD):
            act_log(state, "hold", where, content, text)
            state.flags |= CLEANUP_FLAG_HOLD
    else:
        act_log(state, verb.lower(), where, content, text)
        return _edit(state, where, content, verb, text)
    return content


def _edit(state: State, where: str, content: str, verb: str, text: str) -> str:
    """The actions that change the message or where it goes."""
    if verb == "REPLACE":
        return text
    if verb == "FILTER":
        state.filter = text
    elif verb == "REDIRECT":
        state.redirect = text
        state.flags &= ~CLEANUP_FLAG_FILTER_ALL
    elif verb == "BCC":
        state.hbc_rcpt.append(text)
    elif verb == "PREPEND":
        if where == HBC_CTXT_HEADER:
            state.put_header(to_bytes(text))
        else:
            state.put_text("N", text)
    return content

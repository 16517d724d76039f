"""What stands in aliases, include files and forward files, word by word."""

from __future__ import annotations

import re

from mta.local import command, file, include, resolve
from mta.local.state import State, UserAttr
from mta.system import Wait
from mta.wire.text import to_text
from mta.wire.tok822 import TOK822_ADDR, Token, tok822_internalize, tok822_parse

_INCLUDE = ":include:"
_MISCONFIGURED = "mail system configuration error"


def deliver_token_string(state: State, user: UserAttr, text: str) -> Wait[tuple[bool, int]]:
    """Delivers to each address of a text: whether all are finished, and how many there are."""
    done, count = True, 0
    for token in tok822_parse(text):
        if token.type == TOK822_ADDR:
            count += 1
            if not (yield from deliver_token(state, user, token)):
                done = False
    return done, count


def deliver_token_stream(state: State, user: UserAttr, data: bytes) -> Wait[tuple[bool, int]]:
    """The same for a file: line by line, without comments, up to the first problem."""
    total = 0
    for line in _lines(data, state.process.conf.line_length_limit):
        if line.startswith(b"#"):
            continue
        done, count = yield from deliver_token_string(state, user, to_text(line))
        total += count
        if not done:
            return False, total
    return True, total


def _lines(data: bytes, limit: int) -> list[bytes]:
    """Lines with their ends, none longer than the limit: what is too long is cut in pieces."""
    lines: list[bytes] = []
    for line in re.findall(rb"[^\n]*\n|[^\n]+", data):
        lines += [line[start : start + limit] for start in range(0, len(line), limit)]
    return lines


def deliver_token(state: State, user: UserAttr, token: Token) -> Wait[bool]:
    """Delivers to a file, a command, an include file or an address."""
    text = tok822_internalize(token.children)
    if text.startswith("/"):
        return (yield from file.deliver_file(state, user, text))
    if text.startswith("~"):
        return (yield from _home(state, user, text))
    if text.startswith("|"):
        if not state.agent.command_mask & state.exp_type:
            return (yield from state.bounce("5.7.1", "mail to command is restricted"))
        return (yield from command.deliver_command(state, user, text[1:]))
    if text[: len(_INCLUDE)].lower() == _INCLUDE:
        return (yield from include.deliver_include(state, user, text[len(_INCLUDE) :]))
    return (yield from resolve.deliver_resolve_tree(state, user, token))


def _home(state: State, user: UserAttr, text: str) -> Wait[bool]:
    """``~/file``: a file in the home of the user whose rights are in use."""
    if not text.startswith("~/"):
        state.process.log.warning(f"bad home directory syntax for: {text}")
        return (yield from state.bounce("5.3.5", _MISCONFIGURED))
    if user.home is None:
        state.process.log.warning(f"unknown home directory for: {text}")
        return (yield from state.bounce("5.3.5", _MISCONFIGURED))
    home = "" if user.home == "/" else user.home
    return (yield from file.deliver_file(state, user, home + text[1:]))

"""Which tests a client has passed, and until when that counts (postscreen_tests.c).

An entry of the cache is ``pregreet;dnsbl;pipelining;non-smtp;bare-newline``, in seconds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mta.postscreen.state import (
    BARLF,
    DNSBL,
    NSMTP,
    PIPEL,
    PREGR,
    STAMP_DISABLED,
    STAMP_NEW,
    TESTS,
    State,
)

if TYPE_CHECKING:
    from mta.conf.conf import Conf

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)(?:;|\Z)")
_WORD = 1 << 64


def enabled(conf: Conf) -> int:
    """The tests that the configuration asks for."""
    return (
        (PREGR if conf.postscreen_greet_banner else 0)
        | (DNSBL if conf.postscreen_dnsbl_sites else 0)
        | (PIPEL if conf.postscreen_pipelining_enable else 0)
        | (NSMTP if conf.postscreen_non_smtp_command_enable else 0)
        | (BARLF if conf.postscreen_bare_newline_enable else 0)
    )


def parse_stamps(text: str) -> dict[int, int]:
    """The expiry of each test, of an entry of the cache."""
    stamps = dict.fromkeys(TESTS, STAMP_DISABLED)
    at = 0
    for test in TESTS:
        match = _NUMBER.match(text, at)
        if match is None:
            at = text.find(";", at) + 1 or len(text)
            continue
        stamps[test] = int(match[1])
        at = match.end()
    return stamps


def print_stamps(stamps: dict[int, int], on: int) -> str:
    """The entry.  A test that is off and was never passed says so."""
    for test in TESTS:
        if not on & test and stamps[test] == STAMP_NEW:
            stamps[test] = STAMP_DISABLED
    return ";".join(str(stamps[test] % _WORD) for test in TESTS)


def tests_to_do(stamps: dict[int, int], on: int, now: int) -> int:
    """The tests that are on and whose results have expired."""
    return sum(test for test in TESTS if on & test and now > stamps[test])


def todo_tests(state: State, on: int, now: int) -> None:
    """Finds what is to be tested, by the stamps of the client."""
    stamps = state.client.expires
    state.new = STAMP_NEW in stamps.values()
    state.todo = tests_to_do(stamps, on, now)


def new_tests(state: State, on: int) -> None:
    """The same for a client of which nothing is known."""
    state.client.expires.update(dict.fromkeys(TESTS, STAMP_NEW))
    todo_tests(state, on, STAMP_NEW + 1)

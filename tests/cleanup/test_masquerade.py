"""Masquerading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mta.cleanup.rewrite import masquerade_external
from mta.cleanup.state import State
from mta.cleanup.tables import Tables
from mta.lib.requests import CleanupMessage
from tests.cleanup.driver_cleanup_milter import File, run


def masquerade(make_process: Callable[..., Any], except_: str, domains: str, address: str) -> State:
    process = make_process(f"masquerade_exceptions = {except_}\nmasquerade_domains = {domains}\n")
    file: Any = File(b"")
    state = State(process, Tables(process), CleanupMessage("NOQUEUE", 0), file)
    state.recip = run(masquerade_external(state, address)).address
    return state


@pytest.mark.parametrize(
    ("address", "result"),
    [
        ("a@b.c", "a@b.c"),
        ("a@X.b.c", "a@b.c"),
        ("a@keep.b.c", "a@keep.b.c"),
        ("a@x.keep.b.c", "a@x.keep.b.c"),
        ("root@x.b.c", "root@x.b.c"),
        ("nodomain", "nodomain"),
        ("a@xb.c", "a@xb.c"),
    ],
)
def test_subdomains_hide_behind_their_parents(
    make_process: Callable[..., Any], address: str, result: str
) -> None:
    state = masquerade(make_process, "root", "!keep.b.c b.c", address)
    assert state.recip == result


def test_a_broken_table_of_exceptions_is_a_trouble(make_process: Callable[..., Any]) -> None:
    state = masquerade(make_process, "fail:1", "b.c", "a@x.b.c")
    assert state.errs == 2
    assert state.process.log.lines[-1] == (  # type: ignore[attr-defined]
        "NOQUEUE: masquerade_exceptions map lookup problem -- "
        "message not accepted, try again later"
    )

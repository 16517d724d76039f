"""A mail system with SMTP clients alone: what they deliver is asked for by the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from smtp_site import MODULES, FakeBounce, Site

from mta import postfix as whole
from mta.master.server import PROGRAMS, Process, Program


@pytest.fixture
def make_site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """Builds a site; see Site for the arguments."""
    monkeypatch.setattr(whole, "MODULES", MODULES)

    def make(**arguments: Any) -> Site:
        site = Site(**arguments)

        class Bound(FakeBounce):
            """The program with the test's site in its process."""

            def __init__(self, process: Process) -> None:
                process.cache["site"] = site
                Program.__init__(self, process)

        monkeypatch.setitem(PROGRAMS, "bounce", Bound)
        site.start()
        return site

    yield make

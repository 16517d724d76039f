"""A client of cleanup(8) that dies leaves no queue file behind."""

from __future__ import annotations

from typing import Any

import pytest
from cleanup_site import EXTERNAL, CleanupSite

from mta.conf.master_cf import parse_master_cf
from mta.lib.cleanup_client import cleanup_open
from mta.master.master import Service
from mta.master.server import PROGRAMS, Program
from mta.system import Gone, Wait


class Dying(Program):
    """Dies with a message that is only begun."""

    def serve(self, request: Any) -> Wait[None]:
        """Begins a message."""
        message = yield from cleanup_open(self.process, EXTERNAL)
        message.records.append(("S", b"a@b.test"))
        self.process.log.fatal("enough")


def test_an_unfinished_message_is_removed(
    site: type[CleanupSite], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROGRAMS, "dying", Dying)
    place = site()
    place.send("Subject: whole", "", "hello")
    master = place.postfix.master
    assert master is not None
    entry = parse_master_cf("dying unix - - n - - dying\n", master.conf, "master.cf").entries[0]
    master.services["dying"] = Service(entry, 1, "/usr/libexec/postfix/dying")

    def call() -> Wait[str]:
        try:
            yield from master.call("dying", None)
        except Gone as gone:
            return str(gone.args[0])
        return ""

    assert place.run(call()) == "Connection reset by peer"
    assert "dying: fatal: enough" in place.log()
    assert len(place.files("incoming")) == 1

"""A running mail system without a queue manager: what cleanup(8) and bounce(8) make of mail stays
where they put it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from mta.lib.cleanup_client import cleanup_finish, cleanup_open
from mta.lib.requests import (
    CLEANUP_FLAG_MASK_EXTERNAL,
    CLEANUP_FLAG_SMTP_REPLY,
    CleanupReply,
)
from mta.postfix import Postfix
from mta.system import System, Wait
from mta.wire.record import records
from sim.world import World

MAIN_CF = """\
compatibility_level = 2
myhostname = mx.example.org
mydestination = example.org
myorigin = example.org
inet_protocols = ipv4
queue_service_name = pickup
in_flow_delay = 0
"""
MASTER_CF = """\
pickup unix n - n 3600 1 pickup
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
"""
QUEUE = "/var/spool/postfix"
EXTERNAL = CLEANUP_FLAG_MASK_EXTERNAL | CLEANUP_FLAG_SMTP_REPLY
RECEIVED = "Received: from somewhere"


@dataclass
class Result:
    """What became of a message: cleanup's reply, where it lies, its records without padding."""

    reply: CleanupReply
    queue: str
    queue_id: str
    records: list[tuple[str, str]]

    def of(self, *types: str) -> list[str]:
        """The data of the records of some types."""
        return [data for rec_type, data in self.records if rec_type in types]

    @property
    def content(self) -> list[str]:
        """The lines between M and X, our own Received header left out."""
        types = [rec_type for rec_type, _ in self.records]
        start, end = types.index("M") + 1, types.index("X")
        lines: list[str] = []
        part = ""
        for rec_type, data in self.records[start:end]:
            part += data
            if rec_type == "N":
                lines.append(part)
                part = ""
        return [line for line in lines if line != RECEIVED]

    @property
    def recipients(self) -> list[str]:
        """The recipients."""
        return self.of("R")


class CleanupSite:
    """The mail system and its log."""

    def __init__(self, main_cf: str = "", files: dict[str, str] | None = None) -> None:
        self.world = World(seed=1)
        self.machine = self.world.machine(
            "mta", ["192.0.2.25"], users=["alice", "bob"], hostname="mx.example.org"
        )
        disk = self.machine.files
        disk.mkdir("/etc/postfix")
        disk.mkdir(QUEUE)
        disk.write("/etc/postfix/main.cf", (MAIN_CF + main_cf).encode())
        disk.write("/etc/postfix/master.cf", MASTER_CF.encode())
        for name, text in (files or {}).items():
            disk.write(f"/etc/postfix/{name}", text.encode())
        self.postfix = Postfix(cast(System, self.machine))
        assert self.postfix.start()
        self.world.settle()
        self.process = self.postfix.process("smtpd")
        self._read = len(self.machine.log)

    def run(self, task: Wait[Any]) -> Any:
        """The result of a task, when nothing moves any more."""
        results: list[Any] = []

        def keep() -> Wait[None]:
            results.append((yield from task))

        self.machine.spawn(keep(), "test")
        self.world.settle()
        return results[0]

    def log(self) -> list[str]:
        """The lines since the last time, without queue ids: ``cleanup: QUEUEID: ...``."""
        lines = [str(line) for line in self.machine.log[self._read :]]
        self._read = len(self.machine.log)
        return [
            re.sub(r"\b[0-9A-F]{6,12}\b(?=[:@>.]|$)", "QID", re.sub(r"^postfix/|\[\d+\]", "", line))
            for line in lines
        ]

    def files(self, queue: str) -> list[str]:
        """The names in a queue directory."""
        return self.machine.files.list(f"{QUEUE}/{queue}")

    def send(
        self,
        *content: str,
        sender: str = "a@client.test",
        to: tuple[str, ...] = ("b@dest.test",),
        flags: int = EXTERNAL,
        attributes: tuple[str, ...] = (),
        envelope: tuple[tuple[str, str], ...] = (),
        received: bool = True,
        complete: bool = True,
    ) -> Result:
        """A message through cleanup(8)."""

        def task() -> Wait[Result]:
            message = yield from cleanup_open(self.process, flags)
            put = message.records.append
            put(("T", b"1767603600 123456"))
            for attribute in attributes:
                put(("A", attribute.encode()))
            put(("S", sender.encode("utf-8", "surrogateescape")))
            for rec_type, data in envelope:
                put((rec_type, data.encode()))
            for address in to:
                put(("R", address.encode("utf-8", "surrogateescape")))
            put(("M", b""))
            for line in ((RECEIVED,) if received else ()) + content:
                put(("N", line.encode("utf-8", "surrogateescape")))
            put(("X", b""))
            if complete:
                put(("E", b""))
            reply = yield from cleanup_finish(self.process, message)
            return self.result(reply, message.queue_id)

        result: Result = self.run(task())
        return result

    def result(self, reply: CleanupReply, queue_id: str) -> Result:
        """What lies in the queue."""
        for queue in ("incoming", "hold"):
            if queue_id in self.files(queue):
                data = self.machine.files.read(f"{QUEUE}/{queue}/{queue_id}")
                found = [
                    (rec_type, value.decode("utf-8", "surrogateescape"))
                    for _, rec_type, value in records(data)
                ]
                return Result(reply, queue, queue_id, found)
        return Result(reply, "", queue_id, [])

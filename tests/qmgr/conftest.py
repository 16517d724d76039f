"""A mail system with only a queue manager, and agents that do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mta import postfix as whole
from mta.lib.deliver_completed import deliver_completed
from mta.lib.mail_queue import MailQueue, mail_queue_id
from mta.lib.requests import AppendRequest, DeliverReply, DeliverRequest, FlushRequest
from mta.master.server import PROGRAMS, Process, Program
from mta.postfix import Postfix
from mta.system import Wait
from mta.wire.dsn import Dsn
from mta.wire.record import SizeRecord, encode_size, put, record_size
from sim.kernel import Machine
from sim.world import World

MASTER_CF = """\
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - {limit} fake
slow unix - - n - - fake
"""

_MODULES = (
    "mta.daemons.discard",
    "mta.daemons.error",
    "mta.qmgr.qmgr",
    "mta.trivial_rewrite.trivial_rewrite",
)

Verdict = Callable[[DeliverRequest], str]


class Site:
    """The mail system of a test, with what its fake agents saw."""

    def __init__(self, world: World, machine: Machine, postfix: Postfix) -> None:
        self.world = world
        self.machine = machine
        self.postfix = postfix
        self.deliveries: list[tuple[float, str, str, list[str]]] = []
        self.notices: list[str] = []
        self.began = machine.now()
        self.verdict: Verdict = lambda request: "sent"
        self.seconds = 0.0
        self.running = 0
        self.most = 0

    def log(self, program: str = "qmgr") -> list[str]:
        """The log of one program."""
        return [line.text for line in self.machine.log if line.tag.endswith(f"/{program}")]

    def message(self, *recipients: str, sender: str = "a@example.org", age: float = 0) -> str:
        """Puts a message into the incoming queue and wakes the queue manager."""
        queue = MailQueue("/var/spool/postfix")
        files, now = self.machine.files, self.machine.now()
        file = files.create("/var/spool/postfix/incoming/new", 0o700)
        queue_id = mail_queue_id(now, file.inode)
        envelope = bytearray()
        put(envelope, "T", b"%d %d" % divmod(now - int(age * 1_000_000), 1_000_000))
        put(envelope, "S", sender.encode())
        for recipient in recipients:
            put(envelope, "R", recipient.encode())
        put(envelope, "M", b"")
        content = bytearray()
        put(content, "N", b"Subject: test")
        place = record_size(len(encode_size(SizeRecord()))) + len(envelope)
        size = SizeRecord(len(content), place, len(recipients), 0, len(content))
        put(file.data, "C", encode_size(size))
        file.data += envelope + content
        put(file.data, "X", b"")
        put(file.data, "E", b"")
        files.rename("/var/spool/postfix/incoming/new", queue.path("incoming", queue_id))
        assert self.postfix.master is not None
        self.postfix.master.trigger("qmgr", b"I")
        return queue_id

    def queue(self, name: str) -> list[str]:
        """The queue ids in a queue."""
        return MailQueue("/var/spool/postfix").ids(self.machine.files, name)


class FakeAgent(Program):
    """Delivers as the test's verdict says: sent, defer, dead, crash."""

    def serve(self, request: DeliverRequest) -> Wait[DeliverReply]:
        """One delivery."""
        site: Site = self.process.cache["site"]
        site.running += 1
        site.most = max(site.most, site.running)
        if site.seconds:
            yield self.process.system.sleep(site.seconds)
        site.running -= 1
        addresses = [recipient.address for recipient in request.recipients]
        moment = (self.process.now() - site.began) / 1_000_000
        site.deliveries.append((moment, self.process.service, request.nexthop, addresses))
        verdict = site.verdict(request)
        if verdict == "crash":
            self.process.log.fatal("planned")
        if verdict == "sent":
            for recipient in request.recipients:
                deliver_completed(request.file, recipient.offset)
            return DeliverReply(False)
        dsn = Dsn("4.4.1", "nobody there") if verdict == "dead" else None
        return DeliverReply(True, dsn)


class FakeBounce(Program):
    """Notes what is asked of bounce(8) and its siblings."""

    def serve(self, request: Any) -> Wait[bool]:
        """Any request succeeds."""
        site: Site = self.process.cache["site"]
        if isinstance(request, FlushRequest):
            site.notices.append(f"{self.process.service} {request.kind}")
        elif isinstance(request, AppendRequest):
            text = f"{request.recipient.address} {request.dsn.status} {request.dsn.reason}"
            site.notices.append(f"{self.process.service} append {text}")
        return True
        yield


@pytest.fixture
def make_site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """Builds a site from further main.cf text and a process limit for the agent."""
    monkeypatch.setattr(whole, "MODULES", _MODULES)

    def make(main_cf: str = "", limit: str = "-") -> Site:
        world = World(seed=1)
        machine = world.machine("mx.example.org", ["192.0.2.25"])
        machine.files.mkdir("/etc/postfix")
        machine.files.write(
            "/etc/postfix/main.cf",
            f"compatibility_level = 2\ninet_protocols = ipv4\n{main_cf}\n".encode(),
        )
        machine.files.write("/etc/postfix/master.cf", MASTER_CF.format(limit=limit).encode())
        postfix = Postfix(machine)
        site = Site(world, machine, postfix)

        def with_site(cls: type[Program]) -> type[Program]:
            class Bound(cls):  # type: ignore[misc, valid-type]
                """The program with the test's site in its process."""

                def __init__(self, process: Process) -> None:
                    process.cache["site"] = site
                    super().__init__(process)

            return Bound

        monkeypatch.setitem(PROGRAMS, "fake", with_site(FakeAgent))
        monkeypatch.setitem(PROGRAMS, "bounce", with_site(FakeBounce))
        assert postfix.start()
        world.settle()
        return site

    yield make

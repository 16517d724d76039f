"""A world with one smtpd process, a name server, and the services that access checks ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from mta.conf.conf import Conf
from mta.conf.host import Host
from mta.lib.requests import (
    RCPT_OK,
    VRFY_STAT_OK,
    ResolveRequest,
    RewriteRequest,
    VerifyQuery,
    VerifyReply,
)
from mta.master.server import Process
from mta.smtpd import check
from mta.smtpd.state import SMTPD_PEER_CODE_OK, SMTPD_PEER_CODE_PERM, Session
from mta.system import Fatal, Inet, System, Wait
from mta.trivial_rewrite.trivial_rewrite import TrivialRewrite
from sim.dns import DnsServer
from sim.world import World

MAIN = {
    "myhostname": "mail.example.org",
    "mydestination": "example.org",
    "mynetworks": "192.0.2.0/24",
    "local_recipient_maps": "",
    "alias_maps": "",
    "compatibility_level": "2",
    "inet_protocols": "ipv4",
    "smtpd_relay_restrictions": "",
    "smtpd_recipient_restrictions": "defer_if_permit",
}

Answer = Callable[[str, Any], Wait[Any]]


class Services:
    """Stands for master(8): answers the internal services' requests."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.system = cast(System, bench.machine)
        self.rewrite: TrivialRewrite | None = None

    def call(self, service: str, request: Any) -> Wait[Any]:
        """trivial-rewrite(8) is the real one; verify(8) says what the bench says."""
        if isinstance(request, RewriteRequest | ResolveRequest):
            if self.bench.resolver is not None:
                return self.bench.resolver(request)
                yield None
            if self.rewrite is None:
                self.rewrite = TrivialRewrite(self.bench.new_process("trivial-rewrite"))
            return (yield from self.rewrite.serve(request))
        if isinstance(request, VerifyQuery):
            self.bench.verified.append(request.address)
            replies = self.bench.verify.get(request.address, VerifyReply(VRFY_STAT_OK, RCPT_OK))
            return replies.pop(0) if isinstance(replies, list) else replies
        raise AssertionError(request)


class Bench:
    """``main`` is what main.cf says beyond MAIN; ``files`` by their paths; ``zone`` as in
    scenario files; ``verify`` maps addresses to verify(8)'s replies.
    """

    def __init__(
        self,
        main: Mapping[str, str] | None = None,
        *,
        zone: str = "",
        faults: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        verify: Mapping[str, Any] | None = None,
        resolver: Callable[[Any], Any] | None = None,
        addresses: tuple[str, ...] = ("192.0.2.1",),
        base: Mapping[str, str] = MAIN,
        start: bool = True,
    ) -> None:
        self.world = World(1)
        self.machine = self.world.machine(
            "mta",
            addresses,
            nameservers=[Inet("127.0.0.1", 53)],
            hostname="mail.example.org",
        )
        self.dns = DnsServer(zone, dict(faults or {}))
        self.dns.install(self.machine.network, "127.0.0.1", 53)
        self.verify = dict(verify or {})
        self.verified: list[str] = []
        self.resolver = resolver
        self.settings = {**base, **(main or {})}
        for path, text in (files or {}).items():
            self.machine.files.mkdir(path.rpartition("/")[0])
            self.machine.files.write(path, text.encode())
        self.services = Services(self)
        self.process = self.new_process("smtpd")
        self.session = self.new_session()
        if start:
            check.check_init(self.process)

    def new_process(self, program: str) -> Process:
        """A process of the mail system."""
        host = Host.of(cast(System, self.machine))
        conf = Conf(self.settings, program=program, host=host, process_id=7)
        process = Process(cast(Any, self.services), program, program, 7, conf, program)
        conf.warn = process.log.warning
        return process

    def new_session(self) -> Session:
        """A session that has come to RCPT TO, from outside of ``mynetworks``."""
        session = Session(self.process, cast(Any, SimpleNamespace(stream=None)))
        self.client(session, "client.test", "198.51.100.7")
        session.protocol = "ESMTP"
        session.helo_name = "client.test"
        session.sender = "from@sender.test"
        session.where = "RCPT"
        return session

    def client(self, session: Session, name: str, addr: str) -> None:
        """The client's name and address."""
        code = SMTPD_PEER_CODE_PERM if name == "unknown" else SMTPD_PEER_CODE_OK
        session.name = session.reverse_name = name
        session.addr = session.rfc_addr = addr
        session.namaddr = f"{name}[{addr}]"
        session.name_status = session.reverse_name_status = code

    # -- running

    def run(self, task: Wait[Any]) -> Any:
        """Runs to the end and gives the value.  Raises Fatal."""
        started = self.world.start_task(_guarded(task), "bench")
        assert self.world.settle(), self.world.under_way()
        if isinstance(started.value, Fatal):
            raise started.value
        return started.value

    def rcpt(self, recipient: str = "to@example.org") -> str | None:
        """RCPT TO."""
        self.session.where = "RCPT"
        return cast("str | None", self.run(check.check_rcpt(self.session, recipient)))

    @property
    def log(self) -> list[str]:
        """The lines of the log so far."""
        return [line.text for line in self.machine.log]

    def new_log(self) -> list[str]:
        """The lines since the last time."""
        lines = self.log
        self.machine.log.clear()
        return lines


def _guarded(task: Wait[Any]) -> Wait[Any]:
    try:
        return (yield from task)
    except Fatal as fatal:
        return fatal

"""A world with a mail system whose only agents are smtp(8), lmtp(8) and scache(8)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mta.lib.recipient import MsgStats, Recipient
from mta.lib.requests import AppendRequest, DeliverReply, DeliverRequest
from mta.master.server import Program
from mta.postfix import Postfix
from mta.system import Gone, Inet, Stream, TimedOut, Wait
from mta.wire.record import put
from sim.dns import DnsServer
from sim.peers.smtp_server import PeerRecord, ReplyRule, SmtpServer, SmtpServerSpec
from sim.world import World

MASTER_CF = """\
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
scache unix - - n - 1 scache
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
discard unix - - n - - discard
"""

MODULES = (
    "mta.daemons.discard",
    "mta.daemons.scache",
    "mta.smtp.smtp",
    "mta.trivial_rewrite.trivial_rewrite",
)

#: Where peers live, in the order in which a test names them.
ADDRESS = "203.0.113."

ZONE = """\
dest.test. IN MX 10 one.test.
dest.test. IN MX 20 two.test.
one.test. IN A 203.0.113.1
two.test. IN A 203.0.113.2
three.test. IN A 203.0.113.3
"""

MESSAGE = (b"Subject: test", b"", b"hello")

Rules = list[dict[str, Any]]


class FakeBounce(Program):
    """Notes what is asked of bounce(8) and its siblings."""

    def serve(self, request: Any) -> Wait[bool]:
        """Any request succeeds."""
        if isinstance(request, AppendRequest):
            site: Site = self.process.cache["site"]
            site.reports.append((self.process.service, request))
        return True
        yield


class Site:
    """``peers``: the names of servers, each at the next address, and what they do (rules of
    ``sim.peers``); None is a server that refuses connections.
    """

    def __init__(
        self,
        *,
        main_cf: str = "",
        zone: str = ZONE,
        faults: dict[str, Any] | None = None,
        peers: dict[str, Rules | None] | None = None,
        extensions: Iterable[str] = ("PIPELINING", "8BITMIME", "SIZE 10240000", "DSN"),
        port: int = 25,
        files: dict[str, str] | None = None,
    ) -> None:
        self.world = World(seed=1)
        self.machine = self.world.machine(
            "mx.example.org", ["192.0.2.25"], nameservers=[Inet("127.0.0.1", 53)]
        )
        self.machine.files.mkdir("/etc/postfix")
        self.machine.files.write(
            "/etc/postfix/main.cf",
            "compatibility_level = 2\ninet_protocols = ipv4\n"
            f"smtp_randomize_addresses = no\n{main_cf}\n".encode(),
        )
        self.machine.files.write("/etc/postfix/master.cf", MASTER_CF.encode())
        for name, text in (files or {}).items():
            self.machine.files.write(f"/etc/postfix/{name}", text.encode())
        self.dns = DnsServer(zone, faults or {})
        self.dns.install(self.machine.network, "127.0.0.1")
        self.record = PeerRecord()
        self.reports: list[tuple[str, AppendRequest]] = []
        for number, (name, rules) in enumerate((peers or {"one.test": []}).items(), 1):
            address = f"{ADDRESS}{number}"
            host = self.world.machine(name, [address])
            state = "refuse" if rules is None else "listen"
            spec = SmtpServerSpec(
                name,
                address,
                port,
                None,
                tuple(extensions),
                [ReplyRule(**rule) for rule in rules or ()],
                state,  # type: ignore[arg-type]
            )
            SmtpServer(spec, host, self.record).start()

    def start(self) -> None:
        """Starts the mail system."""
        self.postfix = Postfix(self.machine)
        assert self.postfix.start()
        self.world.settle()

    # -- deliveries ---------------------------------------------------------------------------

    def request(
        self,
        *recipients: str | Recipient,
        nexthop: str = "dest.test",
        sender: str = "a@client.test",
        content: Iterable[bytes] = MESSAGE,
        **more: Any,
    ) -> DeliverRequest:
        """A delivery request with a queue file."""
        now = self.machine.now()
        file = self.machine.files.create(f"/var/spool/postfix/active/{now:X}")
        size = 0
        for line in content:
            put(file.data, "N", line)
            size += len(line)
        put(file.data, "X", b"")
        return DeliverRequest(
            "active",
            "QID",
            file,
            0,
            size,
            nexthop,
            sender,
            [r if isinstance(r, Recipient) else Recipient(r) for r in recipients],
            MsgStats(now, now, now),
            **more,
        )

    def deliver(self, request: DeliverRequest, service: str = "smtp") -> DeliverReply:
        """Delivers it, and lets the world settle.  Raises Gone: the agent died."""
        outcome: list[DeliverReply | Gone] = []

        def task() -> Wait[None]:
            assert self.postfix.master is not None
            try:
                outcome.append((yield from self.postfix.master.call(service, request)))
            except Gone as gone:
                outcome.append(gone)

        self.world.start_task(task(), "delivery")
        self.world.settle()
        (result,) = outcome
        if isinstance(result, Gone):
            raise result
        return result

    def send(self, *recipients: str | Recipient, service: str = "smtp", **more: Any) -> DeliverReply:
        """A delivery to these recipients."""
        return self.deliver(self.request(*recipients, **more), service)

    # -- what came of it ----------------------------------------------------------------------

    def log(self, program: str = "smtp") -> list[str]:
        """The log of one program, without delays."""
        return [
            line.text.partition(", delay=")[0] + line.text[line.text.find(", dsn=") :]
            if ", delay=" in line.text
            else line.text
            for line in self.machine.log
            if line.tag.endswith(f"/{program}")
        ]

    def said(self, session: int = 0) -> list[str]:
        """What the client said in a session."""
        lines = self.record.sessions[session].transcript
        return [line[3:] for line in lines if line.startswith("C: ")]

    @property
    def peers(self) -> list[str]:
        """The servers in the order of their sessions."""
        return [session.peer for session in self.record.sessions]

    @property
    def delivered(self) -> list[str]:
        """The messages that peers took."""
        return [delivery.message for delivery in self.record.delivered]


class RawServer:
    """A server that notes the chunks in which input comes, and answers with given texts."""

    def __init__(self, site: Site, address: str, *answers: str, pause: float = 0.0) -> None:
        self.chunks: list[bytes] = []
        self.answers = [answer.encode() for answer in answers]
        self.pause = pause
        self.machine = site.world.machine(address, [address])
        self.machine.network.listen(Inet(address, 25), self.serve)

    def serve(self, stream: Stream) -> Wait[None]:
        """One connection: an answer at the start and one for each chunk."""
        try:
            while True:
                answer = self.answers.pop(0) if self.answers else b""
                if answer:
                    stream.write(answer.replace(b"\n", b"\r\n"))
                    yield stream.flush(10)
                data = yield stream.read(1 << 20, 1000)
                if not data:
                    break
                self.chunks.append(data)
                if self.pause:
                    yield self.machine.sleep(self.pause)
        except (Gone, TimedOut):
            pass
        stream.close()

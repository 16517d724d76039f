"""A scenario's world, standing: the mail system's machine, the peers, the name service.

:class:`Stage` puts everything in its place and drives it: clients, submissions, commands, time.
``postlab.run`` plays scenario files on it, ``postlab.lab`` is it for authors of tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from mta.system import Endpoint, Fatal, Inet, System, Wait
from postlab import configuration, shell
from postlab.errors import RunError, Unsupported
from postlab.facts import Facts
from postlab.model import Client, Milter, Peer, Policy, Scenario, Step, Tls
from postlab.outside import Outside
from reports.outcome import CommandResult, Dialogue
from sim.chance import Chance
from sim.clock import START
from sim.dns import DnsServer
from sim.kernel import LogLine, Machine
from sim.peers.host import parse_endpoint
from sim.peers.smtp_client import SmtpClient, SmtpClientSpec, parse_steps, target_address
from sim.peers.smtp_server import PeerRecord, ReplyRule, SmtpServer, SmtpServerSpec
from sim.peers.tls import TlsMissing, TlsSpec
from sim.world import World, WorldError

if TYPE_CHECKING:
    from mta.postfix import Postfix
    from postlab.folder import ConfigFolder
    from sim.peers.milter import MilterServer
    from sim.peers.policy import PolicyServer
    from sim.tls import PeerTls

SECOND = 1_000_000

#: The log is quiet for so long (seconds) before the next client, submission or command begins.
QUIET = 0.3
#: The time between two wake-ups of pickup(8), in seconds, and a little more.
WAKE_UP = 61
#: A world that does not come to rest in so many seconds of its own time never will.
PATIENCE = 4 * 3600.0
#: So many lines of the log at one moment are the work of a loop.
_MANY_LINES = 50_000
#: So many of the tasks that keep it from coming to rest are told.
_FEW = 5
#: Configuration files look as if they had been there for an hour.
_OLD = 3600 * SECOND
#: Where in its second a run starts.
_EARLIEST, _LATEST = 3 * SECOND // 10, SECOND // 2

QUEUE_DIRECTORY = "/var/spool/postfix"
_PRIVATE_QUEUES = (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
    "saved", "trace",
)  # fmt: skip
_NOT_IMPLEMENTED = "not implemented"
_NOT_FOUND = re.compile(r"\S+: 1: (\S+): not found")
_NOT_SIMULATED = re.compile(r"\S+: .*\bnot simulated\b")
_MISSING_DAEMON = re.compile(r"fatal: master_spawn: exec /usr/libexec/postfix/(\S+): No such .*")
_DAEMONS_OF_3_0 = frozenset({
    "anvil", "bounce", "cleanup", "discard", "dnsblog", "error", "flush", "lmtp", "local", "oqmgr",
    "pickup", "pipe", "postscreen", "proxymap", "qmgr", "qmqpd", "scache", "showq", "smtp", "smtpd",
    "spawn", "tlsmgr", "tlsproxy", "trivial-rewrite", "verify", "virtual",
})  # fmt: skip
_COMMANDS_OF_3_0 = frozenset({
    "mailq", "newaliases", "postalias", "postcat", "postconf", "postdrop", "postfix", "postkick",
    "postlock", "postlog", "postmap", "postmulti", "postqueue", "postsuper", "sendmail",
})  # fmt: skip
_NAMESERVER = Inet("127.0.0.1", 53)


class Stage:
    """The world of one scenario.  Nothing moves until :meth:`start`."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int = 0,
        *,
        start: int | None = None,
        keep_trace: bool = False,
        config: ConfigFolder | None = None,
    ) -> None:
        """Builds the world; ``keep_trace`` keeps the events of the trace for inspection.

        With ``config`` the mail system has that folder as its ``/etc/postfix``, as it is, and not
        the scenario's ``main.cf`` and ``master.cf``.

        ``start`` is the first moment (microseconds since the epoch).  Without, the seed chooses one
        in the first second of a Monday morning, so that another seed gives other queue ids.  Near
        the middle of a second: what comes within half a second of the start is still in that second
        (which is most likely), and what comes later is not.

        Raises Unsupported where the scenario asks for what this version cannot do.
        """
        self.scenario = scenario
        self.config = config
        self.outside = None if config is None else Outside.of(config)
        self.seed = seed
        if start is None:
            start = START + _EARLIEST + Chance(seed)("start").randrange(_LATEST - _EARLIEST)
        self.world = World(seed, start, keep_trace)
        self.machines: dict[str, Machine] = {}  #: elsewhere, by address
        self.record = PeerRecord()
        self.servers: dict[str, SmtpServer] = {}
        self.policy: dict[str, PolicyServer] = {}
        self.milters: dict[str, MilterServer] = {}
        self.clients: list[Dialogue] = []
        self.results: list[CommandResult] = []
        self.brought: set[str] = set()  #: the files that the scenario brought
        self.restless: list[str] = []  #: tasks that went on and on, where it did not settle
        self.postfix: Postfix | None = None
        self.started = 0
        mta = scenario.mta
        self.mta = self.world.machine(
            "mta",
            mta.addresses,
            users=mta.users,
            accounts=None if config is None else Facts.of(config, mta.users).accounts(),
            nameservers=[_NAMESERVER],
            hostname=mta.hostname,
        )
        self.system = cast(System, self.mta)
        self.dns = DnsServer(scenario.dns.zone, scenario.dns.faults)
        self.dns.install(self.mta.network, *_NAMESERVER)
        self._tls: PeerTls | None = None
        self._last_line = start
        self._lines_now = 0  #: lines of the log at this very moment
        self.mta.on_log = self._on_log
        self._lay_out_disk()
        self._install_commands()
        for name, peer in scenario.peers.items():
            self.add_peer(name, peer)
        for client in scenario.clients:
            self.machine_at(str(client.source))
        for endpoint, policy in scenario.policy.items():
            self.add_policy(endpoint, policy)
        for endpoint, milter in scenario.milters.items():
            self.add_milter(endpoint, milter)
        if scenario.has_databases or config is not None:
            from postlab.databases import install

            install(scenario.databases, self.mta, self.machine_at)
        if self.outside is not None:
            self._bring(self.outside)

    # -- the mail system's machine --------------------------------------------------------------

    def _lay_out_disk(self) -> None:
        disk, accounts = self.mta.files, self.mta.accounts
        owner = accounts.by_name("postfix")
        postdrop = accounts.group("postdrop")
        assert owner is not None
        assert postdrop is not None
        for path, mode in (
            ("/dev", 0o755), ("/root", 0o700), ("/tmp", 0o1777), ("/usr/sbin", 0o755),
            (configuration.CONFIG_DIRECTORY, 0o755), (configuration.MAIL_SPOOL, 0o1777),
            (QUEUE_DIRECTORY, 0o755),
        ):  # fmt: skip
            disk.mkdir(path, mode)
        disk.mkdir("/var/lib/postfix", 0o700, owner.uid, 0)
        disk.write("/dev/null", b"", 0o666)
        for name in _PRIVATE_QUEUES:
            disk.mkdir(f"{QUEUE_DIRECTORY}/{name}", 0o700, owner.uid, 0)
        disk.mkdir(f"{QUEUE_DIRECTORY}/maildrop", 0o730, owner.uid, postdrop)
        disk.mkdir(f"{QUEUE_DIRECTORY}/public", 0o710, owner.uid, postdrop)
        disk.mkdir(f"{QUEUE_DIRECTORY}/pid", 0o755)
        for account in accounts.accounts:
            if account.home.startswith("/home/"):
                disk.mkdir(account.home, 0o755, account.uid, account.gid)
        for path, data, user in configuration.files(self.scenario, self.config):
            self.write_file(path, data, user)
        if self.scenario.uses_tls:
            self._write_certificates()

    def _write_certificates(self) -> None:
        """The root that peers' certificates chain to, and our own key and certificate, unless the
        scenario brings others.
        """
        authority = self.tls.authority
        own = authority.issue("valid", [self.scenario.mta.hostname])
        for name, data, mode in (("ca.pem", authority.root, 0o644), ("mx.pem", own.pem, 0o600)):
            path = f"{configuration.CONFIG_DIRECTORY}/{name}"
            if path not in self.brought:
                self.write_file(path, data)
                self.mta.files.open(path).mode = mode

    def _bring(self, outside: Outside) -> None:
        """What a folder needs of its machine, unless the scenario has it."""
        from sim.peers.dovecot import DovecotServer

        disk = self.mta.files
        for path in outside.tables:
            if not disk.exists(path):
                self.write_file(path, b"")
        if outside.keys or outside.authorities:
            authority = self.tls.authority
            own = authority.issue("valid", [self.scenario.mta.hostname])
            for path in (*outside.keys, *outside.authorities):
                if not disk.exists(path):
                    self.write_file(path, own.pem if path in outside.keys else authority.root)
        if outside.main_cf:
            path = f"{configuration.CONFIG_DIRECTORY}/main.cf"
            self.write_file(path, disk.read(path) + outside.main_cf.encode())
        for endpoint in outside.logins:
            DovecotServer(*self._place(endpoint)).start()

    @property
    def tls(self) -> PeerTls:
        """The TLS engine of the peers, with the world's certificate authority."""
        if self._tls is None:
            from sim.certs import Authority
            from sim.tls import PeerTls

            self._tls = PeerTls(Authority(lambda: self.world.now), lambda: self.world.now)
        return self._tls

    def write_file(self, path: str, data: bytes, user: str = "root") -> None:
        """Puts a file on the mail system's disk, as old as configuration is."""
        disk, account = self.mta.files, self.mta.accounts.by_name(user)
        assert account is not None
        disk.mkdir(path.rpartition("/")[0] or "/")
        disk.write(path, data, 0o644, account.uid, account.gid)
        disk.touch(disk.open(path), self.world.now - _OLD)
        self.brought.add(path)

    def _install_commands(self) -> None:
        for path, command in self.scenario.mta.commands.items():
            output = command.output.encode("utf-8", "surrogateescape")
            self.mta.programs.add(path, status=command.exit, output=output)

    def _on_log(self, line: LogLine) -> None:
        if line.at > self._last_line:
            self._last_line = line.at
            self._lines_now = 0
        self._lines_now += 1
        if self._lines_now > _MANY_LINES:
            raise RunError(f"mail goes round without end; the last line of the log is {line.text}")

    # -- who is elsewhere -----------------------------------------------------------------------

    def _is_local(self, address: str) -> bool:
        own = (*self.scenario.mta.addresses, "::1")
        return address in own or address.startswith("127.")

    def machine_at(self, address: str, name: str = "") -> Machine:
        """The machine that has an address: the mail system's own, or one elsewhere."""
        if self._is_local(address):
            return self.mta
        machine = self.machines.get(address)
        if machine is None:
            if not name or name in self.world.machines:
                name = address
            machine = self.machines[address] = self.world.machine(name, [address])
        return machine

    def _place(self, endpoint: str) -> tuple[Machine, Endpoint]:
        """The machine that an endpoint is on, and where it is there."""
        where = parse_endpoint(endpoint, QUEUE_DIRECTORY)
        return (self.machine_at(where.host) if isinstance(where, Inet) else self.mta), where

    def add_peer(self, name: str, peer: Peer) -> SmtpServer | None:
        """An SMTP or LMTP server elsewhere; None where packets to it vanish."""
        if peer.state == "drop":
            return None
        spec = SmtpServerSpec(
            name,
            peer.address,
            peer.port,
            peer.banner,
            peer.extensions,
            [ReplyRule(r.on, r.reply, r.then, r.do, r.times) for r in peer.replies],
            peer.state,
            _tls(peer.tls),
        )
        wrap = self.tls if peer.tls is not None else None
        server = SmtpServer(spec, self.machine_at(peer.address, name), self.record, wrap)
        server.start()
        self.servers[name] = server
        return server

    def add_policy(self, endpoint: str, policy: Policy) -> PolicyServer:
        """A policy server."""
        from sim.peers.policy import PolicyRule, PolicyServer, PolicySpec

        rules = [
            PolicyRule(r.when, r.action if r.action is not None else "DUNNO", r.do, r.times)
            for r in policy.replies
        ]
        server = PolicyServer(PolicySpec(rules), *self._place(endpoint))
        server.start()
        self.policy[endpoint] = server
        return server

    def add_milter(self, endpoint: str, milter: Milter) -> MilterServer:
        """A milter application."""
        from sim.peers.milter import MilterRule, MilterServer, MilterSpec, parse_action

        rules = [
            MilterRule(
                r.on,
                r.when,
                r.reply,
                [parse_action(name, v) for action in r.actions for name, v in action.items()],
                r.times,
            )
            for r in milter.replies
        ]
        server = MilterServer(MilterSpec(rules), *self._place(endpoint))
        server.start()
        self.milters[endpoint] = server
        return server

    # -- running --------------------------------------------------------------------------------

    def start(self) -> bool:
        """Starts the mail system; False where it does not start, and its log says why."""
        from mta.postfix import Postfix

        self.started = self._last_line = self.world.now
        self.postfix = Postfix(self.system, configuration.CONFIG_DIRECTORY)
        try:
            return self.postfix.start(build_tables=True)
        except Fatal:  # the log has it
            return False
        except (OSError, ValueError) as error:  # directories that cannot be made
            self.mta.syslog("postfix/master", 1, f"fatal: {error}")
            return False

    def settle(self) -> None:
        """Runs until nothing moves but deferred mail, and the log has been quiet for a moment.

        Where that never happens it goes on after some hours, and ``restless`` says so.
        """
        begin = self.world.now
        while True:
            if not self._guarded(lambda: self.world.settle(PATIENCE)):
                waiting = self.world.under_way()
                if not self.restless and waiting:
                    self.restless = waiting[:_FEW]
                return
            rest = max(begin, self._last_line) + round(QUIET * SECOND) - self.world.now
            if rest <= 0 and not self._awaited(begin):
                return
            self._run_to(self.world.now + max(rest, round(QUIET * SECOND)))

    def _awaited(self, begin: int) -> bool:
        """Whether mail waits for a daemon's next wake-up, as what postsuper(1) requeues does."""
        if self.world.now > begin + WAKE_UP * SECOND:
            return False
        files = self.mta.files
        return any(
            any(True for _ in files.walk(f"{QUEUE_DIRECTORY}/{queue}"))
            for queue in ("maildrop", "incoming", "active")
            if files.exists(f"{QUEUE_DIRECTORY}/{queue}")
        )

    def _run_to(self, moment: int) -> None:
        self._guarded(lambda: self.world.run(moment))

    def run_until(self, moment: int) -> None:
        """Runs to a moment (microseconds since the epoch), if that is still to come."""
        if moment > self.world.now:
            self._run_to(moment)

    def _guarded(self, run: Callable[[], bool]) -> bool:
        """Runs the world; a defect, or what this version lacks, becomes an error of ours."""
        try:
            return run()
        except WorldError as error:
            cause: BaseException | None = error
            while cause is not None:
                if isinstance(cause, RunError):
                    raise cause from error
                if isinstance(cause, TlsMissing):
                    raise Unsupported(str(cause)) from error
                cause = cause.__cause__
            raise

    def perform(self, task: Wait[Any], name: str) -> Any:
        """Runs a task to its end and returns its value.

        Raises RunError where it has no end.
        """
        started = self.world.start_task(task, name)
        limit = self.world.now + round(PATIENCE * SECOND)
        while not started.done:
            moment = self.world.next_event
            if moment is None or moment > limit:
                raise RunError(f"{name}: waits for what never comes ({started.where()})")
            self._run_to(moment)
        return started.value

    def client(self, client: Client, tls: TlsSpec | None = None) -> Dialogue:
        """A client has its session; then everything settles."""
        dialogue = self.begin_client(client, tls)
        self.settle()
        return dialogue

    def begin_client(self, client: Client, tls: TlsSpec | None = None) -> Dialogue:
        """A client begins its session; the transcript grows as the world runs.  ``tls`` is how it
        does TLS, in place of what the client itself says.
        """
        steps = parse_steps(_step(step) for step in client.say)
        tls = _tls(client.tls) if tls is None else tls
        spec = SmtpClientSpec(client.source, steps, client.to, tls)
        host = target_address(client.source, self.scenario.mta.addresses)
        session = SmtpClient(
            spec,
            self.machine_at(client.source),
            Inet(host, client.to) if host else None,
            self.scenario.mta.hostname,
            self.tls if tls is not None or "starttls" in client.say else None,
        )
        dialogue = Dialogue(client.source, session.transcript)
        self.clients.append(dialogue)
        self.world.start_task(session.run(), f"client {client.source}")
        return dialogue

    def submit(self, user: str, args: list[str], text: str) -> CommandResult:
        """A user runs sendmail(1); then everything settles."""
        assert self.postfix is not None
        argv = ["sendmail", *args]
        stdin = text.encode("utf-8", "surrogateescape")
        status, output = self.perform(self.postfix.command(argv, user, stdin), f"sendmail {user}")
        result = CommandResult(_joined(argv), status, output)
        self.results.append(result)
        self.settle()
        return result

    def command(self, line: str) -> CommandResult:
        """The administrator runs a command; then everything settles."""
        result = self.quiet_command(line)
        self.results.append(result)
        self.settle()
        return result

    def quiet_command(self, line: str) -> CommandResult:
        """The administrator runs a command that is not part of the outcome."""
        from mta.commands.command import COMMANDS

        postfix = self.postfix
        assert postfix is not None

        def run(words: list[str], stdin: bytes) -> Wait[tuple[int, str] | None]:
            if words[0] not in COMMANDS:
                return None
            return (yield from postfix.command(words, "root", stdin))

        status, output = self.perform(shell.run(line, self.system, run), line)
        return CommandResult(line.strip(), status, output)

    def doubts(self) -> list[str]:
        """Why the outcome may not be what a real mail system would give."""
        found = [
            f"the world did not come to rest in {PATIENCE / 3600:.0f} hours: {task}"
            for task in self.restless
        ]
        for line in self.mta.log:
            if _NOT_IMPLEMENTED in line.text:
                found.append(str(line))
            elif missing := _MISSING_DAEMON.fullmatch(line.text):
                if missing[1] not in _DAEMONS_OF_3_0:
                    continue
                found.append(f"{missing[1]}(8) is not implemented")
        for result in self.results:
            for text in result.output.splitlines():
                if _NOT_SIMULATED.match(text):
                    found.append(text)
                elif missing := _NOT_FOUND.fullmatch(text):
                    name = shell.program([missing[1]])
                    found += [f"{name}(1) is not implemented"] if name in _COMMANDS_OF_3_0 else []
        return list(dict.fromkeys(found))

    def unheeded(self) -> list[str]:
        """The settings that a real mail system would heed, and this one does not."""
        master = self.postfix.master if self.postfix is not None else None
        if master is None:
            return []
        from mta.conf.unused import doubts

        return doubts(master.main_cf, [s.entry for s in master.services.values()])

    def unused(self) -> list[str]:
        """What the scenario has and the run never asked for: a silent stub is a false green."""
        found = [f"dns fault: {key}" for key in self.dns.unused_faults()]
        for name, server in self.servers.items():
            found += [f"peer {name}: reply on {rule.on!r}" for rule in server.unused_rules()]
        for endpoint, policy in self.policy.items():
            found += [f"policy {endpoint}: reply {_show(r.when)}" for r in policy.unused_rules()]
        for endpoint, milter in self.milters.items():
            found += [f"milter {endpoint}: reply on {r.on}" for r in milter.unused_rules()]
        return found


def _tls(tls: Tls | None) -> TlsSpec | None:
    if tls is None:
        return None
    names = tuple(tls.names or ())
    fault = getattr(tls, "fault", None)
    return TlsSpec(tls.cert, names, tls.min, tls.max, tls.wrapper, fault)


def _step(step: str | Step) -> str | Mapping[str, Any]:
    return step if isinstance(step, str) else step.model_dump(exclude_none=True)


def _joined(argv: list[str]) -> str:
    import shlex

    return shlex.join(argv)


def _show(when: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in when.items()) or "to anything"

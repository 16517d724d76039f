"""A laboratory for tests in Python: a mail system, the internet around it, and their story.

    lab = Lab(seed=7)
    lab.mta(main_cf="mydestination = example.org", users=["alice"])
    lab.peer("mx.dest.test", mx_for=["dest.test"]).on("RCPT", "450 4.2.1 try later", times=3)

    client = lab.client("198.51.100.7").say("EHLO client.test").mail("a@client.test", "alice@…")
    lab.submit("alice", "bob@dest.test", text="Subject: hi")
    lab.run(until="5d")

    assert client.reply("RCPT").startswith("250")
    assert str(client.fingerprint) == "ehlo=1 mail=1 rcpt=1 data=1 commands=4"
    assert lab.fate("bob@dest.test").status == "sent"
    assert lab.fate("bob@dest.test").attempts == 4

``mta``, ``dns``, ``peer``, ``policy`` and ``milter`` say what there is; they come first.
``client``, ``submit`` and ``command`` say what happens, one after the other, each when nothing
moves any more but deferred mail.  All of it has happened whenever one looks: at ``lab.log``, at a
transcript, at the queue.  ``run`` and ``advance`` let time pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from postlab.errors import NotStarted
from postlab.folder import ConfigFolder
from postlab.handles import LabClient, LabPeer, MailLog, Pending
from postlab.model import Client, Mta, Peer, Scenario, seconds
from postlab.run import not_started, queue_of, report_of
from postlab.scenario import checked, from_data
from postlab.stage import SECOND, Stage
from postlab.surroundings import with_config
from reports.fates import Fate, Fingerprint, Message, Reject, Story, read
from reports.outcome import Delivered, Outcome, QueueEntry, Report
from reports.times import duration
from sim.peers.tls import TlsSpec
from sim.zone import parse_zone

__all__ = ["Lab", "World"]

_FIRST_PEER = 10


class Lab:
    """A small internet with one mail system in it.

    ``seed`` decides all chance; ``keep_trace`` keeps the events of the trace (``lab.stage.world``
    has them) and not only their hash.
    """

    def __init__(self, seed: int = 0, *, title: str = "a lab", keep_trace: bool = False) -> None:
        self.seed = seed
        self.title = title
        self.clients: list[LabClient] = []
        self._keep_trace = keep_trace
        self._mta: dict[str, Any] = {}
        self._config: ConfigFolder | None = None
        self._zone: list[str] = []
        self._faults: dict[str, str] = {}
        self._signed: list[str] = []
        self._peers: dict[str, LabPeer] = {}
        self._peer_data: dict[str, dict[str, Any]] = {}
        self._peer_tls: dict[str, TlsSpec] = {}
        self._policy: dict[str, Any] = {}
        self._milters: dict[str, Any] = {}
        self._databases: dict[str, Any] = {}
        self._agenda: list[LabClient | Pending] = []
        self._stage: Stage | None = None
        self._busy = False
        self._story: tuple[int, Story] | None = None

    # -- what there is --------------------------------------------------------------------------

    def mta(
        self,
        main_cf: str = "",
        *,
        master_cf: str = "",
        files: Mapping[str, str] | None = None,
        users: Iterable[str] | str = (),
        hostname: str = "mx.example.org",
        addresses: Iterable[str] | str = ("192.0.2.25",),
        commands: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Lab:
        """The mail system under test; all as in scenario files, ``mta``.

        ``files`` are text by name, relative to ``/etc/postfix`` (``~alice/.forward`` in a home);
        ``commands`` stand for external programs: path → ``{"exit": 0, "output": ""}``.
        The indentation that all lines of ``main_cf``, of ``master_cf``, or of a file that begins
        with an empty line have does not count.  ``users`` may be one text, with blanks between.

        Raises ScenarioError.
        """
        self.must_not_have_begun("the mail system")
        texts = {name: _unindented(text) for name, text in (files or {}).items()}
        self._mta = {
            "hostname": hostname,
            "addresses": _names(addresses),
            "main.cf": dedent(main_cf),
            "master.cf": dedent(master_cf),
            "files": texts,
            "users": _names(users),
            "commands": {path: dict(what) for path, what in (commands or {}).items()},
        }
        checked(Mta, self._mta, "the mail system")
        self._config = None
        return self

    def config(
        self,
        folder: str | Path,
        *,
        files: Mapping[str, str] | None = None,
        users: Iterable[str] | str = (),
        commands: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Lab:
        """The mail system of a folder like ``/etc/postfix``, as it is: ``main.cf``, ``master.cf``,
        tables, host name and addresses, as ``postlab run --config`` takes it.  ``files`` (which
        come in place of the folder's), ``users`` and ``commands`` are as in :meth:`mta`.

        Raises FolderError.
        """
        found = ConfigFolder.load(folder)
        self.mta(files=files, users=users, commands=commands)
        self._config = found
        return self

    def dns(
        self,
        zone: str = "",
        *,
        faults: Mapping[str, str] | None = None,
        signed: Iterable[str] | str = (),
    ) -> Lab:
        """Adds records (RFC 1035 text, names absolute) and trouble (``"NAME TYPE"``: timeout,
        servfail, refused).  Once time runs it adds records to what there is.

        ``signed`` are domains whose data, and that of all below, is DNSSEC-validated.
        """
        self._zone.append(zone)
        self._faults.update(faults or {})
        signed = _names(signed)
        self._signed += signed
        if self._stage is not None:
            self.settle()
            self._stage.dns.vouch(*signed)
            self._stage.dns.zone = parse_zone(self._all_records())
            for key, what in (faults or {}).items():
                self._stage.dns.set_fault(key, what)
        return self

    def peer(
        self,
        name: str,
        address: str = "",
        *,
        mx_for: Iterable[str] | str = (),
        replies: Iterable[Mapping[str, Any]] = (),
        tls: TlsSpec | Mapping[str, Any] | None = None,
        **more: Any,
    ) -> LabPeer:
        """An SMTP or LMTP server elsewhere; ``more`` as in scenario files: ``port``, ``banner``,
        ``extensions``, ``state``.  ``tls`` is as in scenario files too, or a
        :class:`sim.peers.tls.TlsSpec`, which can do more (and more harm).

        Without an address it gets the next free one of 203.0.113.0/24.  Its A or AAAA record is
        made unless the zone has one, and an MX record for each domain of ``mx_for``.
        """
        self.must_not_have_begun("a peer")
        if not address:
            taken = {data["address"] for data in self._peer_data.values()}
            address = next(
                a for a in (f"203.0.113.{n}" for n in range(_FIRST_PEER, 255)) if a not in taken
            )
        data: dict[str, Any] = {"address": address, **more}
        rules = [dict(rule) for rule in replies]
        if rules:
            data["replies"] = rules
        if tls is not None:
            data["tls"] = {} if isinstance(tls, TlsSpec) else dict(tls)
            if isinstance(tls, TlsSpec):
                self._peer_tls[name] = tls
        self._peer_data[name] = data
        checked(Peer, data, f"peer {name}")
        for domain in _names(mx_for):
            self._zone.append(f"{domain.rstrip('.')}. IN MX 10 {name.rstrip('.')}.")
        peer = self._peers[name] = LabPeer(self, name, data)
        return peer

    def policy(self, endpoint: str, *replies: Mapping[str, Any] | str) -> Lab:
        """A policy server at ``inet:host:port`` or ``unix:path``.  A reply is a rule as in scenario
        files, or an action for every request.
        """
        self.must_not_have_begun("a policy server")
        rules = [{"action": r} if isinstance(r, str) else dict(r) for r in replies]
        self._policy[endpoint] = {"replies": rules}
        self._check_last("policy", self._policy, endpoint)
        return self

    def milter(self, endpoint: str, *replies: Mapping[str, Any]) -> Lab:
        """A milter application; the replies are rules as in scenario files."""
        self.must_not_have_begun("a milter")
        self._milters[endpoint] = {"replies": [dict(r) for r in replies]}
        self._check_last("milters", self._milters, endpoint)
        return self

    def database(self, endpoint: str, **what: Any) -> Lab:
        """A server behind lookup tables, such as ``mysql:192.0.2.9:3306`` or
        ``ldap://192.0.2.9:389``; ``what`` as in scenario files: ``sql``, ``users``, ``directory``,
        ``entries``, ``state``, ``delay``, ``fails``, ``times``.
        """
        self.must_not_have_begun("a database")
        self._databases[endpoint] = what
        self._check_last("databases", self._databases, endpoint)
        return self

    def _check_last(self, key: str, servers: Mapping[str, Any], endpoint: str) -> None:
        data = {"format": "1", "title": "-", key: {endpoint: servers[endpoint]}}
        checked(Scenario, data, "the lab")

    def must_not_have_begun(self, what: str) -> None:
        """Raises RuntimeError when the world stands already."""
        if self._stage is not None:
            raise RuntimeError(f"the world stands already: {what} must be there before")

    def scenario(self) -> Scenario:
        """What was said so far, as a scenario.  Raises ScenarioError."""
        data = {
            "format": "1",
            "title": self.title,
            "needs": ["tls"] if self._speaks_of_tls() else [],
            "mta": self._mta,
            "dns": {"zone": self._all_records(), "faults": self._faults},
            "peers": self._peer_data,
            "policy": self._policy,
            "milters": self._milters,
            **({"databases": self._databases} if self._databases else {}),
        }
        scenario = from_data(data, self.title)
        return scenario if self._config is None else with_config(scenario, self._config)

    def _speaks_of_tls(self) -> bool:
        """Whether the mail system is to have certificates: ``ca.pem`` and ``mx.pem``."""
        return self._config is None and any(
            "tls" in self._mta.get(name, "") for name in ("main.cf", "master.cf")
        )

    def _all_records(self) -> str:
        """The zone, with address records for the peers that it has none for."""
        lines = [line for text in self._zone for line in text.split("\n")]
        zone = "\n".join(line.strip() for line in lines)
        for name, data in self._peer_data.items():
            owner = name.rstrip(".") + "."
            kind = "AAAA" if ":" in data["address"] else "A"
            if _HOST_NAME.fullmatch(owner) and not re.search(
                rf"(?mi)^{re.escape(owner)}\s+(?:\d+\s+)?(?:IN\s+)?(?:A|AAAA|CNAME)\s", zone
            ):
                zone += f"\n{owner} IN {kind} {data['address']}"
        return zone + "\n"

    # -- what happens ---------------------------------------------------------------------------

    def client(
        self, address: str, port: int = 25, *, tls: TlsSpec | Mapping[str, Any] | None = None
    ) -> LabClient:
        """An SMTP client; tell it what to say.  Its session is next on the agenda.  ``tls`` is how
        it does TLS, as for :meth:`peer`.
        """
        if tls is not None and not isinstance(tls, TlsSpec):
            tls = TlsSpec(**tls)
        checked(Client, {"from": address, "to": port}, f"client {address}")
        client = LabClient(self, address, port, tls)
        self.clients.append(client)
        self._agenda.append(client)
        return client

    def submit(self, user: str, *args: str, text: str = "Subject: test\n\ntest\n") -> Pending:
        """A user runs sendmail(1) with arguments and a message."""
        return self._later(lambda stage: stage.submit(user, list(args), text))

    def command(self, line: str) -> Pending:
        """The administrator runs a command: ``postqueue -f``, ``postsuper -h ALL``, …"""
        return self._later(lambda stage: stage.command(line))

    def _later(self, do: Callable[[Stage], Any]) -> Pending:
        item = Pending(self, do)
        self._agenda.append(item)
        return item

    def write_file(self, name: str, text: str, user: str = "root") -> None:
        """Replaces a file of the mail system: a name in ``/etc/postfix``, or an absolute path."""
        self.settle()
        path = name if name.startswith("/") else f"/etc/postfix/{name}"
        self.stage.write_file(path, text.encode("utf-8", "surrogateescape"), user)

    # -- time -----------------------------------------------------------------------------------

    @property
    def stage(self) -> Stage:
        """The world as it stands; it is built, and the mail system started, when first needed.

        Raises ScenarioError, Unsupported; NotStarted at the first time, where the mail system does
        not start.
        """
        if self._stage is None:
            stage = Stage(
                self.scenario(), self.seed, keep_trace=self._keep_trace, config=self._config
            )
            stage.dns.vouch(*self._signed)
            for name, tls in self._peer_tls.items():
                stage.servers[name].spec.tls = tls
            self._stage = stage
            if not stage.start():
                raise NotStarted(not_started(stage))
            stage.settle()
        return self._stage

    def settle(self) -> None:
        """Does all that is on the agenda; then nothing moves but deferred mail."""
        if self._busy:
            return
        self._busy = True
        try:
            while self._agenda:
                self._agenda.pop(0)._perform(self.stage)
        finally:
            self._busy = False

    def run(self, until: str | float | None = None) -> Report:
        """Does all that is on the agenda, then runs until so long after the start of the mail
        system: seconds, or ``"30s"``, ``"2h"``, ``"5d"``.  Without: until nothing moves but
        deferred mail.
        """
        stage = self.stage
        self.settle()
        if until is not None and until != "idle":
            stage.run_until(stage.started + round(seconds(until) * SECOND))
        return self.report

    def advance(self, time: str | float) -> Lab:
        """Does all that is on the agenda, then lets so much time pass."""
        stage = self.stage
        self.settle()
        stage.run_until(stage.world.now + round(seconds(time) * SECOND))
        return self

    @property
    def now(self) -> int:
        """The moment in the world: microseconds since the epoch."""
        return self.stage.world.now

    @property
    def elapsed(self) -> float:
        """Seconds since the mail system started."""
        return (self.now - self.stage.started) / SECOND

    # -- what came of it ------------------------------------------------------------------------

    @property
    def story(self) -> Story:
        """The mail log as messages, decisions and fingerprints."""
        stage = self.stage
        self.settle()
        log = stage.mta.log
        if self._story is None or self._story[0] != len(log):
            self._story = (len(log), read(map(str, log), [line.at for line in log]))
        return self._story[1]

    @property
    def log(self) -> MailLog:
        """The mail log."""
        return MailLog(self.story.lines)

    @property
    def messages(self) -> list[Message]:
        """The messages that had a queue id, and the fates of their recipients."""
        return self.story.messages

    @property
    def rejects(self) -> list[Reject]:
        """What smtpd and cleanup told of decisions: rejects, holds, discards, …"""
        return self.story.rejects

    @property
    def fingerprints(self) -> list[Fingerprint]:
        """What each session did, in the order of their ends."""
        return self.story.fingerprints

    def message(self, *, to: str = "", sender: str | None = None, queue_id: str = "") -> Message:
        """The only message to a recipient, from a sender, or with a queue id.

        Raises AssertionError where there is none, or more than one.
        """
        found = [
            m
            for m in self.messages
            if (not queue_id or m.queue_id == queue_id)
            and (sender is None or m.sender == sender)
            and (not to or any(to in (f.recipient, f.original) for f in m.fates))
        ]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} such messages; the mail log:\n{self.log}")
        return found[0]

    def fate(self, recipient: str) -> Fate:
        """What became of the mail to a recipient; the last one's, where there were several.

        Raises AssertionError where nothing was ever delivered or tried.
        """
        for message in reversed(self.messages):
            for fate in message.fates:
                if recipient in (fate.recipient, fate.original):
                    return fate
        raise AssertionError(f"no mail to {recipient}; the mail log:\n{self.log}")

    @property
    def delivered(self) -> list[Delivered]:
        """All that reached a peer, a mailbox or a command."""
        return self.outcome.delivered

    def mailbox(self, user: str) -> list[str]:
        """The messages in a user's mailbox (or in the mailbox of a path).

        Raises LookupError where there is no such user.
        """
        if "/" not in user and self.stage.mta.accounts.by_name(user) is None:
            raise LookupError(f"there is no user {user!r}; lab.mta(users=[…]) makes them")
        return [m.message for m in self.delivered if m.where == f"mailbox {user}"]

    @property
    def queue(self) -> list[QueueEntry]:
        """What is left in the queue."""
        stage = self.stage
        self.settle()
        return queue_of(stage)

    @property
    def outcome(self) -> Outcome:
        """The outcome as of now, the JSON document of scenario files."""
        return self.report.outcome

    @property
    def report(self) -> Report:
        """The outcome with seed, trace hash and moments."""
        stage = self.stage
        self.settle()
        return report_of(stage, self.title)

    @property
    def trace_hash(self) -> str:
        """The hash over everything that happened so far."""
        self.settle()
        return self.stage.world.trace.hash()

    def show(self, *, dialogue: bool = False, log: bool = False) -> None:
        """Prints the report for people."""
        from reports.terminal import console, show

        show(self.report, console(), dialogue=dialogue, log=log)

    def __repr__(self) -> str:
        if self._stage is None:
            return f"<lab {self.title!r}, seed {self.seed}, not begun>"
        return f"<lab {self.title!r}, seed {self.seed}, {duration(self.elapsed)} old>"


def _names(given: Iterable[str] | str) -> list[str]:
    """Names in a list, or in one text with blanks or commas between."""
    return given.replace(",", " ").split() if isinstance(given, str) else list(given)


def _unindented(text: str) -> str:
    """A text between triple quotes, as it is meant."""
    return dedent(text).removeprefix("\n") if text.startswith("\n") else text


_HOST_NAME = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?\.)+")

#: The same under the name that a simulation's author may look for.
World = Lab

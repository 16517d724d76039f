"""A process that speaks to milter applications of the simulated world, event by event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from mta.lib.milters import Milters, milters_create
from mta.postfix import Postfix
from mta.system import Fatal, Inet, Panic, System, Unix, Wait
from mta.wire import milter as wire
from mta.wire.record import encode
from sim.peers import milter as peer
from sim.world import World

ENDPOINT = "inet:127.0.0.1:7001"
SECOND = "unix:second"
MAIN_CF = """\
compatibility_level = 2
myhostname = mx.example.org
inet_protocols = ipv4
milter_command_timeout = 10s
milter_content_timeout = 20s
"""
QUEUE = "/var/spool/postfix"
_STEP = 100_000  # microseconds
CLIENT = ("c.test", "198.51.100.7", "4711", 2)


class _Session(peer._Session):
    """Notes macros, too."""

    __slots__ = ()

    def _answer(self, packet: wire.Packet) -> Wait[bool]:
        event = wire.decode_event(packet)
        if isinstance(event, wire.Macros):
            self.server.macros.append((event.event, dict(event.pairs)))  # type: ignore[attr-defined]
        if isinstance(event, wire.Negotiation):
            self.server.offers.append(event)  # type: ignore[attr-defined]
        return (yield from super()._answer(packet))


class Application(peer.MilterServer):
    """A milter application; ``macros`` are the macros of each event, by its code."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.macros: list[tuple[bytes, dict[str, str]]] = []
        self.offers: list[wire.Negotiation] = []

    def serve(self, stream: Any) -> Wait[None]:
        return _Session(self, stream).run()

    @property
    def names(self) -> list[str]:
        """The names of the events so far."""
        return [event[0] for event in self.events]


class Editor:
    """Notes what it is asked to do, and answers as ``replies`` says."""

    def __init__(self, replies: dict[str, str] | None = None) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.replies = replies or {}

    def __getattr__(self, name: str) -> Any:
        def edit(*arguments: Any) -> Wait[str | None]:
            self.asked.append((name, *arguments))
            return self.replies.get(name)
            yield None

        return edit


class MilterSite:
    """A process, and the applications that it may speak to."""

    def __init__(self, main_cf: str = "") -> None:
        self.world = World(seed=1)
        self.machine = self.world.machine("mta", ["192.0.2.25"], hostname="mx.example.org")
        disk = self.machine.files
        disk.mkdir("/etc/postfix")
        disk.mkdir(QUEUE)
        disk.write("/etc/postfix/main.cf", (MAIN_CF + main_cf).encode())
        disk.write("/etc/postfix/master.cf", b"")
        self.process = Postfix(cast(System, self.machine)).process("smtpd")
        self.applications: dict[str, Application] = {}
        self.values = {"i": "QID", "j": "mx", "{client_addr}": "198.51.100.7", "v": "V"}
        self.editor = Editor()

    def application(
        self, *rules: peer.MilterRule, endpoint: str = ENDPOINT, **spec: Any
    ) -> Application:
        """Starts an application."""
        kind, _, rest = endpoint.partition(":")
        where: Inet | Unix = Unix(f"{QUEUE}/{rest}")
        if kind == "inet":
            host, _, port = rest.rpartition(":")
            where = Inet(host, int(port))
        made = Application(peer.MilterSpec(rules, **spec), self.machine, where)
        made.start()
        self.applications[endpoint] = made
        return made

    def milters(self, spec: str = ENDPOINT) -> Milters:
        """The client side.  Raises Fatal."""
        made = milters_create(self.process, spec)
        made.macro_callback(self.values.get)
        made.edit_callback(self.editor)
        return made

    def run(self, task: Wait[Any]) -> Any:
        """The result of a task.  Connections stay as they are.  Raises Fatal, Panic."""
        results: list[Any] = []

        def keep() -> Wait[None]:
            try:
                results.append((yield from task))
            except (Fatal, Panic) as error:
                results.append(error)

        self.machine.spawn(keep(), "test")
        while not results:
            self.world.run(self.world.now + _STEP)
        if isinstance(results[0], Fatal | Panic):
            raise results[0]
        return results[0]

    def session(self, milters: Milters, *events: str) -> list[str | None]:
        """Reports events of a session; the answers."""
        calls: dict[str, Any] = {
            "connect": lambda: milters.conn_event(*CLIENT),
            "helo": lambda: milters.helo_event("h.test", True),
            "mail": lambda: milters.mail_event(["<a@c.test>", "SIZE=9"]),
            "rcpt": lambda: milters.rcpt_event(0, ["<b@d.test>"]),
            "rejected": lambda: milters.rcpt_event(1, ["<no@d.test>"]),
            "data": milters.data_event,
            "unknown": lambda: milters.unknown_event("FROB"),
            "message": lambda: self.show(milters),
            "abort": milters.abort,
            "disconnect": milters.disc_event,
        }
        return [self.run(calls[event]()) for event in events]

    def show(self, milters: Milters, *lines: str, auto: Sequence[str] = ()) -> Wait[str | None]:
        """Shows a message of lines of text."""
        return milters.message(content(*(lines or ("Subject: s", "", "body"))), 0, auto)

    def log(self) -> list[str]:
        """All lines, without the name of the service."""
        return [line.text for line in self.machine.log]


def content(*lines: str) -> bytearray:
    """The content of a queue file; one that ends with a backslash goes on in the next."""
    out = bytearray()
    for line in lines:
        data = line.encode("utf-8", "surrogateescape")
        kind = "L" if data.endswith(b"\\") else "N"
        out += encode(kind, data.removesuffix(b"\\"))
    return out + encode("X", b"") + encode("E", b"")


def rule(on: Any, reply: str = "continue", **more: Any) -> peer.MilterRule:
    """A rule of an application."""
    return peer.MilterRule(on, reply=reply, **more)

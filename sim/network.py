"""The network: hosts and their addresses, connections, datagrams, and UNIX-domain sockets.

Each machine has a :class:`HostNetwork`; a :class:`Network` joins them.  A host has the loopback
addresses and those that it is given, in networks of /24 (IPv6: /64); every host reaches every
other.  What is sent to an address that nobody has vanishes, so that connecting times out.  Links
have latency and no limit of throughput.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, TypeVar

from mta.system import ConnectError, Endpoint, Inet, Interface, Stream, TimedOut, Unix, Wait
from sim.clock import micros
from sim.detours import FaultyWay
from sim.engine import Call, Engine, Failed, Ready, Wake
from sim.faults import (
    Drop,
    FaultPlan,
    NetworkFault,
    Partition,
    Refuse,
    StreamFault,
    Unreachable,
)
from sim.link import Link, Tap
from sim.streams import SimStream
from sim.trace import Trace, digest

#: One-way latencies in microseconds.
LATENCY = 200
LOOPBACK_LATENCY = 20

#: How long TCP itself tries to connect (Linux, six repetitions), in seconds.
TCP_GIVES_UP = 127.0

FIRST_PORT = 40000
LAST_PORT = 60999

REFUSED = "Connection refused"
NO_NETWORK = "Network is unreachable"
TIMED_OUT = "Connection timed out"
NOT_OURS = "Cannot assign requested address"
NO_SOCKET = "No such file or directory"

#: Hosts to listen at that stand for all addresses, or all of a family.
_ANY = ("", "0.0.0.0", "::")

#: Gets the packet, who sent it, and a function that sends one back (at once or later).
DatagramHandler = Callable[[bytes, Inet, Callable[[bytes], None]], None]
StreamHandler = Callable[[Stream], Wait[None]]


@lru_cache(maxsize=4096)
def canonical(address: str) -> str:
    """The usual text of a numeric address.  Raises ValueError."""
    return str(ip_address(address))


def is_loopback(address: str) -> bool:
    """Whether an address in its usual text is one of this machine's alone."""
    return address.startswith("127.") or address == "::1"


def show(endpoint: Endpoint) -> str:
    """An endpoint for people and traces: ``192.0.2.1:25``, ``[2001:db8::1]:25``, a path."""
    if isinstance(endpoint, Unix):
        return endpoint.path
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def stream_pair(
    link: Link, client: tuple[Endpoint, Endpoint], server: tuple[Endpoint, Endpoint]
) -> tuple[SimStream, SimStream]:
    """Both ends of a connection: that of who connected, and that of who was connected to.

    ``client`` and ``server`` are the local and remote endpoints as each of them sees it.
    """
    here = SimStream(link, 0, *client)
    there = SimStream(link, 1, *server)
    here._peer = there
    there._peer = here
    link.ends = (here, there)
    return here, there


class Listener:
    """Who serves the connections to an endpoint."""

    __slots__ = ("handler", "name", "passive")

    def __init__(self, handler: StreamHandler, name: str, passive: bool) -> None:
        self.handler = handler
        self.name = name
        self.passive = passive


class Network:
    """All hosts, and the ways between them."""

    def __init__(self, engine: Engine, trace: Trace, faults: FaultPlan) -> None:
        self.engine = engine
        self.trace = trace
        self.faults = faults
        self.hosts: dict[str, HostNetwork] = {}  #: by the machine's name
        self.owners: dict[str, HostNetwork] = {}  #: by address
        self.links: dict[int, Link] = {}  #: the connections that stand, by number
        self.tap: Tap | None = None  #: who listens to the connections that are made from now on
        self._connections = 0
        self._latencies: dict[tuple[str, str], int] = {}
        faults.on_change(self._faults_changed)

    def host(self, name: str, addresses: Sequence[str]) -> HostNetwork:
        """A new host.  Raises ValueError for a name or an address that is taken or wrong."""
        if name in self.hosts:
            raise ValueError(f"there is a machine {name} already")
        addresses = [canonical(address) for address in addresses]
        for address in addresses:
            if is_loopback(address) or address in self.owners:
                raise ValueError(f"the address {address} is taken")
        host = self.hosts[name] = HostNetwork(self, name, addresses)
        self.owners.update(dict.fromkeys(addresses, host))
        return host

    def set_latency(self, one: str, other: str, seconds: float) -> None:
        """How long a packet travels between two machines, by name, either way."""
        self._latencies[one, other] = self._latencies[other, one] = micros(seconds)

    def latency(self, one: HostNetwork, other: HostNetwork) -> int:
        """How long a packet travels between two hosts, in microseconds."""
        if one is other:
            return LOOPBACK_LATENCY
        if self._latencies:
            return self._latencies.get((one.name, other.name), LATENCY)
        return LATENCY

    def new_link(self, latency: int) -> Link:
        """The common part of a new connection."""
        self._connections += 1
        link = Link(self.engine, self.trace, self._connections, latency)
        self.links[link.ident] = link
        link.tap = self.tap
        link.on_end = self._link_ended
        return link

    def _link_ended(self, link: Link) -> None:
        del self.links[link.ident]

    # -- faults -------------------------------------------------------------------------------

    def obstacle(
        self,
        source: HostNetwork,
        local: str,
        target: HostNetwork | None,
        remote: Inet,
        both_ways: bool = False,
    ) -> NetworkFault | None:
        """The fault that a first packet meets on its way there, or (``both_ways``) back."""
        here = (source.name, local)
        there = (target.name if target else "", remote.host)
        for fault in self.faults.of(NetworkFault):
            if isinstance(fault, Refuse | Drop | Unreachable | Partition):
                if fault.concerns(here, there, remote.port) or (
                    both_ways and isinstance(fault, Partition) and fault.concerns(there, here, 0)
                ):
                    self.faults.fire(fault, f"{local} to {show(remote)}")
                    return fault
        return None

    def _faults_changed(self) -> None:
        for link in self.links.values():
            self.lay_detours(link)

    def lay_detours(self, link: Link) -> None:
        """Puts the faults that there are now on the ways of a connection."""
        client, server = link.ends
        if isinstance(client.remote, Unix) or isinstance(client.local, Unix):
            return
        here = self._names(client.local)
        there = self._names(client.remote)
        port = client.remote.port
        for stream in link.ends:
            back = stream is server
            faults: list[NetworkFault] = [
                fault
                for fault in self.faults.rows
                if (
                    isinstance(fault, StreamFault)
                    and fault.side == stream.side
                    and fault.concerns(here, there, port)
                )
                or (
                    isinstance(fault, Partition)
                    and (fault.concerns(there, here, 0) if back else fault.concerns(here, there, 0))
                )
            ]
            if isinstance(stream.detour, FaultyWay):
                stream.detour.faults = faults
                stream.detour.go_on()
            elif faults:
                stream.detour = FaultyWay(stream, self.faults, faults)

    def _names(self, endpoint: Inet) -> tuple[str, str]:
        owner = self.owners.get(endpoint.host)
        return (owner.name if owner else "", endpoint.host)


class HostNetwork:
    """The network as one machine sees it; a :class:`mta.system.Network`.

    A timeout of 0 seconds stands for no limit but that of TCP itself.
    """

    def __init__(self, network: Network, name: str, addresses: Sequence[str]) -> None:
        self.name = name
        self._net = network
        self._engine = network.engine
        self._addresses = addresses
        four = [Interface(a, 24) for a in addresses if ":" not in a]
        six = [Interface(a, 64) for a in addresses if ":" in a]
        self._interfaces = (
            Interface("127.0.0.1", 8), *four, Interface("::1", 128), *six,
        )  # fmt: skip
        self._listeners: dict[tuple[str, int], Listener] = {}
        self._sockets: dict[str, Listener | None] = {}  # None: the socket is left, nobody listens
        self._datagrams: dict[tuple[str, int], DatagramHandler] = {}
        self._sources: dict[str, str | None] = {}
        self._next_port = FIRST_PORT

    def interfaces(self) -> Sequence[Interface]:
        """The addresses of this machine, loopback included, IPv4 first."""
        return self._interfaces

    # -- serving ------------------------------------------------------------------------------

    def listen(
        self, endpoint: Endpoint, handler: StreamHandler, *, passive: bool = False
    ) -> Callable[[], None]:
        """Serves each connection to the endpoint in a task of its own; returns what ends this.

        ``passive``: while a task of it waits for input it does not keep the world from being idle;
        for peers that only answer.  The host ``""`` means all addresses, ``0.0.0.0`` and ``::``
        all of their family.  Raises OSError.
        """
        listener = Listener(handler, f"{self.name} {show(endpoint)}", passive)
        if isinstance(endpoint, Unix):
            path = endpoint.path
            if self._sockets.get(path) is not None:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            self._sockets[path] = listener

            def leave() -> None:
                if self._sockets.get(path) is listener:
                    self._sockets[path] = None

            return leave
        return self._bind(self._listeners, endpoint, listener)

    def listen_datagrams(self, endpoint: Inet, handler: DatagramHandler) -> Callable[[], None]:
        """Serves each datagram to the endpoint; returns what ends this.  Raises OSError."""
        return self._bind(self._datagrams, endpoint, handler)

    def _bind(
        self, table: dict[tuple[str, int], Any], endpoint: Inet, what: Any
    ) -> Callable[[], None]:
        host = canonical(endpoint.host) if endpoint.host else ""
        if host not in _ANY and not self._is_ours(host):
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        if any(_overlap(host, bound) for bound, port in table if port == endpoint.port):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        key = (host, endpoint.port)
        table[key] = what

        def unbind() -> None:
            if table.get(key) is what:
                del table[key]

        return unbind

    def _is_ours(self, address: str) -> bool:
        return is_loopback(address) or address in self._addresses

    # -- connecting ---------------------------------------------------------------------------

    def connect(self, remote: Endpoint, timeout: float, source: str = "") -> Any:
        """Leaf: a Stream.  ``source`` is the local address to bind, ``""`` for any.

        Raises ConnectError (refused, unreachable, no such socket), TimedOut.
        """
        if isinstance(remote, Unix):
            return self._connect_locally(remote)
        net = self._net
        remote = Inet(canonical(remote.host), remote.port)
        target = self if self._is_ours(remote.host) else net.owners.get(remote.host)
        address = self._source(remote.host, source)
        if address is None:
            why = NOT_OURS if source else NO_NETWORK
            self._trace_failure(source, remote, why)
            return Failed(ConnectError(why))
        attempt = _Attempt(self, target, Inet(address, self._port()), remote, timeout)
        obstacle = net.obstacle(self, address, target, remote, True) if net.faults.rows else None
        attempt.begin(obstacle)
        return attempt.wake

    def _source(self, remote: str, wanted: str) -> str | None:
        """The local address of a connection there; None where there is none."""
        if wanted:
            wanted = canonical(wanted)
            same_family = (":" in wanted) == (":" in remote)
            return wanted if same_family and self._is_ours(wanted) else None
        if remote not in self._sources:
            self._sources[remote] = self._nearest(remote)
        return self._sources[remote]

    def _nearest(self, remote: str) -> str | None:
        """The address of ours in the same network as another, or the first of its family."""
        if is_loopback(remote):
            return "::1" if ":" in remote else "127.0.0.1"
        if remote in self._addresses:
            return remote
        family = [a for a in self._addresses if (":" in a) == (":" in remote)]
        near = [a for a in family if _network_of(a) == _network_of(remote)]
        return next(iter(near or family), None)

    def _port(self) -> int:
        port = self._next_port
        self._next_port = port + 1 if port < LAST_PORT else FIRST_PORT
        return port

    def _connect_locally(self, remote: Unix) -> Any:
        listener = self._sockets.get(remote.path)
        if listener is None:
            why = REFUSED if remote.path in self._sockets else NO_SOCKET
            self._trace_failure("", remote, why)
            return Failed(ConnectError(why))
        nameless = Unix("")
        client = self._establish(nameless, remote, LOOPBACK_LATENCY, listener)
        server = client.link.ends[1]
        self._engine.start(listener.handler(server), listener.name)
        return Ready(client)

    def _establish(
        self, local: Endpoint, remote: Endpoint, latency: int, listener: Listener
    ) -> SimStream:
        """Both ends of a new connection; that of who connected."""
        net = self._net
        link = net.new_link(latency)
        client, server = stream_pair(link, (local, remote), (remote, local))
        server.passive = listener.passive
        if net.faults.rows:
            net.lay_detours(link)
        net.trace.add(self._engine.now, "connect", link.ident, show(local), show(remote))
        return client

    def _trace_failure(self, source: str, remote: Endpoint, why: str) -> None:
        self._net.trace.add(self._engine.now, "no-connect", source, show(remote), why)

    # -- datagrams ----------------------------------------------------------------------------

    def exchange(self, server: Inet, packet: bytes, timeout: float) -> Any:
        """Leaf: the first datagram that comes back for one datagram sent.

        Raises TimedOut, ConnectError (ICMP port unreachable).
        """
        host = canonical(server.host)
        address = self._source(host, "")
        if address is None:
            return Failed(ConnectError(NO_NETWORK))
        exchange = _Exchange(self, Inet(address, self._port()), timeout or TCP_GIVES_UP)
        self.send_datagram(exchange.local, Inet(host, server.port), packet, exchange.refused)
        return exchange.wake

    def send_datagram(
        self, local: Inet, remote: Inet, packet: bytes, refused: Callable[[str], None] | None = None
    ) -> None:
        """Sends a datagram; ``refused`` is called when a message comes that it was not wanted."""
        net, engine = self._net, self._engine
        net.trace.add(
            engine._now, "datagram", show(local), show(remote), len(packet), digest(packet)
        )
        target = self if self._is_ours(remote.host) else net.owners.get(remote.host)
        obstacle = net.obstacle(self, local.host, target, remote) if net.faults.rows else None
        if target is None or isinstance(obstacle, Drop | Partition):
            if not isinstance(obstacle, Refuse | Unreachable):
                return
        latency = net.latency(self, target) if target else LATENCY
        if obstacle is not None or target is None:
            why = obstacle.why if isinstance(obstacle, Unreachable) else REFUSED
            if refused is not None:
                Call(engine, 2 * latency, lambda _: refused(why))
            return
        engine.busy += 1
        datagram = _Datagram(target, local, remote, packet, latency, refused)
        Call(engine, latency, datagram.arrives)

    def listener(self, endpoint: Inet) -> Listener | None:
        """Who listens there."""
        return _find(self._listeners, endpoint)


class _Exchange:
    """Who waits for the answer to a datagram."""

    __slots__ = ("_alarm", "_table", "local", "wake")

    def __init__(self, host: HostNetwork, local: Inet, timeout: float) -> None:
        self.local = local
        self.wake = Wake(host._engine)
        self._alarm = host._engine.alarm(timeout, self._expires)
        self._table = host._datagrams
        self._table[local] = self._comes

    def _finish(self) -> None:
        self._alarm.cancel()
        self._table.pop(self.local, None)

    def _comes(self, answer: bytes, _: Inet, __: Callable[[bytes], None]) -> None:
        self._finish()
        self.wake.fire(answer)

    def _expires(self) -> None:
        self._finish()
        self.wake.fire_error(TimedOut())

    def refused(self, why: str) -> None:
        """A message comes that the datagram was not wanted."""
        if self.wake.callbacks is not None:
            self._finish()
            self.wake.fire_error(ConnectError(why))


class _Datagram:
    """A datagram on its way to a host that will take it."""

    __slots__ = ("_latency", "_local", "_packet", "_refused", "_remote", "_target")

    def __init__(
        self,
        target: HostNetwork,
        local: Inet,
        remote: Inet,
        packet: bytes,
        latency: int,
        refused: Callable[[str], None] | None,
    ) -> None:
        self._target = target
        self._local = local
        self._remote = remote
        self._packet = packet
        self._latency = latency
        self._refused = refused

    def arrives(self, _: object) -> None:
        """It is there."""
        target = self._target
        engine = target._engine
        engine.busy -= 1
        handler = _find(target._datagrams, self._remote)
        if handler is not None:
            handler(self._packet, self._local, self._answer)
        elif (refused := self._refused) is not None:
            Call(engine, self._latency, lambda _: refused(REFUSED))

    def _answer(self, packet: bytes) -> None:
        self._target.send_datagram(self._remote, self._local, packet)


class _Attempt:
    """A connection that is being made."""

    __slots__ = ("_alarm", "_client", "_latency", "_local", "_remote", "_source", "_target",
                 "_timeout", "wake")  # fmt: skip

    def __init__(
        self,
        source: HostNetwork,
        target: HostNetwork | None,
        local: Inet,
        remote: Inet,
        timeout: float,
    ) -> None:
        self._source = source
        self._target = target
        self._local = local
        self._remote = remote
        self._timeout = timeout
        self._latency = source._net.latency(source, target) if target else LATENCY
        self._client: SimStream | None = None
        self._alarm: Any = None
        self.wake = Wake(source._engine)

    def begin(self, obstacle: NetworkFault | None) -> None:
        """Sends the first packet into the world."""
        engine = self._source._engine
        if isinstance(obstacle, Unreachable):
            Call(engine, self._latency, self._fails, obstacle.why)
        elif isinstance(obstacle, Refuse):
            Call(engine, 2 * self._latency, self._fails, REFUSED)
        elif obstacle is not None or self._target is None:
            self._set_alarm()
        else:
            engine.busy += 1
            Call(engine, self._latency, self._arrives)
            if 0 < self._timeout * 1_000_000 <= 2 * self._latency:
                self._set_alarm()

    def _set_alarm(self) -> None:
        timeout = self._timeout or TCP_GIVES_UP
        self._alarm = self._source._engine.alarm(min(timeout, TCP_GIVES_UP), self._expires)

    def _expires(self) -> None:
        own_limit = 0 < self._timeout < TCP_GIVES_UP
        self._source._trace_failure(show(self._local), self._remote, TIMED_OUT)
        self.wake.fire_error(TimedOut() if own_limit else ConnectError(TIMED_OUT))

    def _fails(self, event: Any) -> None:
        if self.wake.callbacks is not None:
            self._source._trace_failure(show(self._local), self._remote, event._value)
            self.wake.fire_error(ConnectError(event._value))

    def _arrives(self, _: object) -> None:
        """The first packet is there."""
        engine, target = self._source._engine, self._target
        assert target is not None
        engine.busy -= 1
        listener = target.listener(self._remote)
        if listener is None:
            Call(engine, self._latency, self._fails, REFUSED)
            return
        self._client = target._establish(self._local, self._remote, self._latency, listener)
        Call(engine, self._latency, self._answered)
        server = self._client.link.ends[1]
        engine.start_now(listener.handler(server), listener.name)

    def _answered(self, _: object) -> None:
        assert self._client is not None
        if self.wake.callbacks is None:
            self._client.abort()
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self.wake.fire(self._client)


def _overlap(one: str, other: str) -> bool:
    """Whether two hosts to listen at have an address in common."""
    if one in _ANY or other in _ANY:
        return not one or not other or (":" in one) == (":" in other)
    return one == other


H = TypeVar("H")


def _find(table: dict[tuple[str, int], H], endpoint: Inet) -> H | None:
    """Who serves an endpoint: alone, or with all addresses of its family, or with all."""
    host, port = endpoint
    found = table.get(endpoint)
    if found is None:
        found = table.get(("::" if ":" in host else "0.0.0.0", port))
    return found if found is not None else table.get(("", port))


def _network_of(address: str) -> str:
    """The /24 or /64 of an address, as something to compare."""
    if ":" in address:
        return ip_address(address).exploded[:19]
    return address.rpartition(".")[0]

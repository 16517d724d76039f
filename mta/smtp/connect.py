"""smtp_connect(3): from a next hop to its servers, from one server to the next.

A next hop is ``domain``, ``domain:port``, ``[host]`` or ``[host]:port``; for lmtp(8) also
``inet:...`` and ``unix:/path``.  After it come the relays of ``smtp_fallback_relay``.  The list of
addresses of each is cut at ``smtp_mx_address_limit`` attempts and ``smtp_mx_session_limit``
sessions.
"""

from __future__ import annotations

from mta.dict.errors import TableError
from mta.dns_lookup import DnsRR
from mta.lib.deliver_completed import deliver_completed
from mta.lib.deliver_pass import deliver_pass
from mta.lib.mail_addr_names import mail_addr_double_bounce
from mta.lib.requests import DEL_REQ_FLAG_CONN_LOAD, DEL_REQ_FLAG_CONN_STORE
from mta.lib.smtp_stream import SmtpStream
from mta.smtp.addr import domain_addr, host_addr, host_name, type_of
from mta.smtp.chat import chat_notify
from mta.smtp.client import SMTP_DNS_DISABLED, Client
from mta.smtp.features import SMTP_FEATURE_BEST_MX, SMTP_FEATURE_FROM_CACHE
from mta.smtp.helo import helo
from mta.smtp.proto import send_quit, xfer
from mta.smtp.reuse import reuse_addr, reuse_nexthop, save_session
from mta.smtp.state import Session, State
from mta.smtp.trouble import rcpt_cleanup, sess_fail
from mta.system import ConnectError, Endpoint, Inet, TimedOut, Unix, Wait
from mta.util.host_port import HostPortError, host_port
from mta.util.scalars import all_digits, split_at_commas
from mta.util.valid_hostname import valid_hostaddr

_SMTP_PORT = 25
_SMTPS_PORT = 465
#: services(5), as far as mail is concerned.
_SERVICES = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587, "lmtp": 24}
_SECOND = 1_000_000
#: What the system itself allows for a connection, in seconds (six SYN packets).
_SYSTEM_TIMEOUT = 127
_UNIX_PATH_MAX = 108


# -- a connection ---------------------------------------------------------------------------------


def _connect(state: State, remote: Endpoint, source: str) -> Wait[Session | None]:
    """A new session with the server at hand; None, and the reason in ``state.why``."""
    client = state.client
    process = client.process
    state.why.reset()
    started = process.now() // _SECOND
    timeout = client.conf.smtp_connect_timeout or _SYSTEM_TIMEOUT
    try:
        stream = yield process.system.network.connect(remote, timeout, source)
    except (ConnectError, TimedOut) as error:
        what = error.args[0] if isinstance(error, ConnectError) else "Connection timed out"
        port = f":{state.port}" if state.port else ""
        state.why.simple("4.4.1", f"connect to {state.host}[{state.addr}]{port}: {what}")
        return None
    process.keep(stream)
    if state.confidential:
        stream.confide()
    expires = started + client.conf.smtp_connection_reuse_time_limit if state.conn_store else 0
    return Session(state, SmtpStream(stream, now=process.now), expires)


def _connect_addr(state: State, rr: DnsRR) -> Wait[Session | None]:
    source = _bind_address(state.client, rr.type)
    return (yield from _connect(state, Inet(rr.data, state.port), source))


def _bind_address(client: Client, rrtype: str) -> str:
    """The address to connect from: ``smtp_bind_address``, or the one address that mail is received
    on; empty for any.
    """
    parameter = "smtp_bind_address6" if rrtype == "AAAA" else "smtp_bind_address"
    address = str(getattr(client.conf, parameter))
    if address:
        if not valid_hostaddr(address):
            client.log.fatal(
                f"smtp_connect_addr: bad {client.name(parameter)} parameter: {address}: "
                "Name or service not known"
            )
    else:
        own = [a for a in client.conf.own_addresses if type_of(a) == rrtype]
        if len(own) != 1 or own[0] == "::1" or own[0].startswith("127."):
            return ""
        address = own[0]
    local = [interface.address for interface in client.process.system.network.interfaces()]
    if address not in local:
        client.log.warning(f"smtp_connect_addr: bind {address}: Cannot assign requested address")
        return ""
    return address


def _parse_destination(client: Client, destination: str, default: str) -> tuple[str, int]:
    """Host and port of ``host:service``.  What cannot be understood is fatal."""
    try:
        host, service = host_port(destination, None, default, client.utf8)
    except HostPortError as error:
        client.log.fatal(f"{error.args[0]} in server description: {destination}")
    if all_digits(service):
        port = int(service)
        if not 0 < port < 65536:
            client.log.fatal(f"bad network port in destination: {destination}")
        return host, port
    if service not in _SERVICES:
        client.log.fatal(f"unknown service: {service}/tcp")
    return host, _SERVICES[service]


# -- the end of a session -------------------------------------------------------------------------


def _cleanup_session(state: State) -> Wait[None]:
    """Tells the postmaster, caches or ends the session, and takes stock of the recipients."""
    session, client = state.session, state.client
    assert session is not None
    if session.history and session.error_mask & client.notify_mask():
        sender = state.request.sender
        if sender and sender != mail_addr_double_bounce(client.process):
            yield from chat_notify(session)
    throttled = session.throttled
    if session.expired:
        yield from send_quit(state)
    if session.cached and not session.broken:
        yield from save_session(state)
    else:
        if session.tls_context is not None and client.tls is not None:
            yield from client.tls.close(session)
        session.stream.close()
    state.session = None
    if not throttled:
        state.request_nexthop = ""
    rcpt_cleanup(state)
    stats = state.request.stats
    stats.conn_setup_done = stats.deliver_done = stats.reuse_count = 0


def _greet(state: State, session: Session) -> Wait[bool]:
    """The dialogue before mail, where the session is new; whether mail can follow.  Where not, the
    server gets a QUIT.
    """
    if session.features & SMTP_FEATURE_FROM_CACHE:
        return True
    if (yield from helo(state)) == 0:
        return True
    if not session.forbidden and not session.broken:
        yield from send_quit(state)
    return False


def _cache_policy(state: State, destination: str) -> Wait[None]:
    """Whether connections for a destination are taken from the cache, and left to it."""
    client, flags = state.client, state.request.flags
    state.conn_load = state.conn_store = False
    listed = False
    if client.cache_destinations is not None:
        try:
            listed = yield from client.cache_destinations.match(destination)
        except TableError:
            pass
    if listed:
        state.conn_load = state.conn_store = True
    elif client.conf.smtp_connection_cache_on_demand:
        state.conn_load = bool(flags & DEL_REQ_FLAG_CONN_LOAD)
        state.conn_store = bool(flags & DEL_REQ_FLAG_CONN_STORE)


# -- a local server -------------------------------------------------------------------------------


def _connect_local(state: State, path: str) -> Wait[None]:
    """Delivery over a UNIX-domain socket (lmtp)."""
    client, why = state.client, state.why
    yield from _cache_policy(state, path)
    state.dest, state.host, state.addr, state.port = path, client.conf.myhostname, path, 0
    if client.tls is not None and not (yield from client.tls.lookup(state)):
        client.log.warning(f"TLS policy lookup error for {state.host}/{state.addr}: {why.reason}")
        return
    session = None
    if state.conn_load:
        session = yield from reuse_nexthop(state)
    if session is None:
        why.reset()
        if len(path.encode("utf-8", "surrogateescape")) >= _UNIX_PATH_MAX:
            client.log.warning(f"unix-domain name too long: {path}")
            why.simple("4.3.5", "Server configuration error")
            return
        full = path if path.startswith("/") else f"{client.conf.queue_directory}/{path}"
        session = yield from _connect(state, Unix(full), "")
    state.session = session
    if session is None:
        return
    state.domain = client.conf.myhostname
    if client.tls is not None:
        client.tls.local(state)
    state.final_server = True
    if (yield from _greet(state, session)):
        yield from xfer(state)
    yield from _cleanup_session(state)


# -- servers on the network -----------------------------------------------------------------------


def _reuse_sessions(state: State, addresses: list[DnsRR], best_pref: int) -> Wait[int]:
    """Delivers over cached connections to the next hop and to its best servers, and takes these
    off the list, all of it when there were enough sessions; the number of sessions.
    """
    client = state.client
    saved = state.dest
    sessions = 0
    if state.request_nexthop and state.left:
        state.tls = None
        session = yield from reuse_nexthop(state)
        if session is not None:
            sessions = 1
            _strike(client, addresses, state.addr, sessions)
            if state.final_nexthop and not addresses:
                state.final_server = True
            yield from xfer(state)
            yield from _cleanup_session(state)
    state.dest = saved
    index = 0
    while state.left and index < len(addresses) and addresses[index].pref == best_pref:
        rr = addresses[index]
        state.addr, state.host, state.rr = rr.data, host_name(client, rr), rr
        if client.tls is not None and not (yield from client.tls.lookup(state)):
            client.log.warning(
                f"TLS policy lookup error for {state.dest}/{state.host}: {state.why.reason}"
            )
            index += 1
            continue
        session = yield from reuse_addr(state)
        if session is None:
            index += 1
            continue
        session.features |= SMTP_FEATURE_BEST_MX
        sessions += 1
        _strike(client, addresses, state.addr, sessions)
        if state.final_nexthop and index >= len(addresses):
            state.final_server = True
        yield from xfer(state)
        yield from _cleanup_session(state)
    return sessions


def _strike(client: Client, addresses: list[DnsRR], address: str, sessions: int) -> None:
    """Takes an address off the list, or all when the list is not going to be used any more."""
    conf = client.conf
    if sessions in (conf.smtp_mx_session_limit, conf.smtp_mx_address_limit):
        addresses.clear()
        return
    for index, rr in enumerate(addresses):
        if rr.data == address:
            del addresses[index]
            return


def _connect_inet(state: State, nexthop: str, default_service: str) -> Wait[None]:
    """Delivery to a next hop and its fall-backs."""
    client, why = state.client, state.why
    if not client.families:
        why.simple("4.4.4", "all network protocols are disabled")
        return
    sites = [nexthop]
    if client.smtp_mode:
        sites += split_at_commas(client.conf.smtp_fallback_relay)
    last = len(sites)
    for index, dest in enumerate(sites):
        state.first_nexthop = index == 0
        if index == len(sites) - 1:
            state.final_nexthop = True
        yield from _deliver_to(state, dest, default_service)
        state.mx = None
        if state.final_nexthop:
            last = index
            break
        if not state.left:
            break
    if state.left:
        yield from _left_over(state, sites[0], is_fallback=0 < last < len(sites))


def _left_over(state: State, nexthop: str, is_fallback: bool) -> Wait[None]:
    """Nobody took the recipients.  Problems of our configuration do not bounce."""
    client, why = state.client, state.why
    conf = client.conf
    if not why.status:
        why.simple("4.3.0", "server unavailable or unable to receive mail")
    elif not why.soft and client.smtp_mode:
        if is_fallback:
            client.log.warning("smtp_fallback_relay configuration problem")
            why.status = "4.3.5"
        elif nexthop == conf.relayhost:
            client.log.warning("relayhost configuration problem")
            why.status = "4.3.5"
        elif why.loop and conf.best_mx_transport:
            why.reset()
            yield from _deliver_pass_all(state, conf.best_mx_transport)


def _look_up(state: State, dest: str, domain: str) -> Wait[list[DnsRR]]:
    """The addresses of a next hop; sets what follows from them."""
    client = state.client
    state.loop_detect = client.smtp_mode and state.port == _SMTP_PORT
    if not client.smtp_mode or client.dns_support == SMTP_DNS_DISABLED or dest.startswith("["):
        addresses = yield from host_addr(state, domain)
    else:
        addresses, i_am_mx = yield from domain_addr(state, domain)
        if i_am_mx:
            state.final_nexthop = True
    if not addresses and state.why.loop:
        state.final_nexthop = True
    return addresses


def _deliver_to(state: State, dest: str, default_service: str) -> Wait[None]:
    """Tries the servers of one next hop."""
    client, conf = state.client, state.client.conf
    domain, port = _parse_destination(client, dest, default_service)
    if port == _SMTPS_PORT and conf.helpful_warnings and not conf.smtp_tls_wrappermode:
        wrapper, level = client.name("smtp_tls_wrappermode"), client.name("smtp_tls_security_level")
        client.log.info(
            "SMTPS wrappermode (TCP port 465) requires setting "
            f'"{wrapper} = yes", and "{level} = encrypt" (or stronger)'
        )
    state.dest, state.host, state.addr, state.port = dest, "", "", port
    state.domain = domain
    addresses = yield from _look_up(state, dest, domain)
    if not addresses:
        return
    best_pref = addresses[0].pref
    if state.first_nexthop:
        yield from _cache_policy(state, domain)
        if state.conn_load or state.conn_store:
            state.request_nexthop = dest
    sessions = attempts = 0
    if state.conn_load:
        if state.cache_used:
            addresses = [rr for rr in addresses if rr.data not in state.cache_used]
        if addresses:
            sessions = attempts = yield from _reuse_sessions(state, addresses, best_pref)
    yield from _try_servers(state, addresses, best_pref, sessions, attempts)


def _try_servers(
    state: State, addresses: list[DnsRR], best_pref: int, sessions: int, attempts: int
) -> Wait[None]:
    """New sessions with one server after the other."""
    client, conf = state.client, state.client.conf
    index = 0
    retry_plain = False
    while state.left and index < len(addresses):
        rr, place = addresses[index], index
        index += 1
        attempts += 1
        if attempts == conf.smtp_mx_address_limit:
            index = len(addresses)
        state.addr, state.host, state.rr = rr.data, host_name(client, rr), rr
        if client.tls is not None:
            if not (yield from client.tls.lookup(state)):
                client.log.warning(
                    f"TLS policy lookup for {state.dest}/{state.host}: {state.why.reason}"
                )
                continue
            if not client.tls.allows(state):
                continue
            if retry_plain:
                state.tls = None
                retry_plain = False
        session = None
        if state.conn_load and rr.pref != best_pref:
            session = yield from reuse_addr(state)
        if session is None:
            session = yield from _connect_addr(state, rr)
        state.session = session
        if session is None:
            client.log.info(state.why.reason)
            continue
        if rr.pref == best_pref:
            session.features |= SMTP_FEATURE_BEST_MX
        if state.final_nexthop and index >= len(addresses):
            state.final_server = True
        if (yield from _greet(state, session)):
            sessions += 1
            if sessions == conf.smtp_mx_session_limit:
                index = len(addresses)
            if state.final_nexthop and index >= len(addresses):
                state.final_server = True
            yield from xfer(state)
            if session.tls_retry_plain:
                sessions -= 1
        if session.tls_retry_plain:
            retry_plain = True
            attempts -= 1
            index = place
        yield from _cleanup_session(state)


# -- best_mx_transport ----------------------------------------------------------------------------


def _deliver_pass_all(state: State, service: str) -> Wait[None]:
    """Passes the recipients to another delivery agent (deliver_pass_all)."""
    request = state.request
    for recipient in state.left:
        if (yield from deliver_pass(state.client.process, service, request, recipient)):
            deliver_completed(request.file, recipient.offset)
        else:
            state.deferred = True
    state.left = []
    state.marks = []


# -- all of it ------------------------------------------------------------------------------------


def connect(state: State) -> Wait[None]:
    """Delivers a request: all recipients are done or reported in the end (smtp_connect)."""
    client = state.client
    nexthop = state.request.nexthop
    if client.smtp_mode:
        yield from _connect_inet(state, nexthop, "smtp")
    elif nexthop.startswith("unix:"):
        yield from _connect_local(state, nexthop.removeprefix("unix:"))
    else:
        service = client.conf.lmtp_tcp_port
        yield from _connect_inet(state, nexthop.removeprefix("inet:"), service)
    if state.left:
        state.final_server = True
        yield from sess_fail(state)
        rcpt_cleanup(state)
        if state.left:
            client.log.panic("smtp_connect: left-over recipients")

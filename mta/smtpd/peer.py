"""Who the client is: its address, and the name that belongs to it (smtpd_peer.c).

A name counts when the reverse name of the address leads back to the address.  Otherwise the client
is ``unknown``, and ``name_status`` says why: TEMP, PERM or FORGED.
"""

from __future__ import annotations

import ipaddress

from mta.lib.haproxy_srvr import HAPROXY_MAX_LEN, HaproxyError, haproxy_srvr_parse
from mta.lib.host_lookup import (
    EAI_AGAIN,
    GAI_STRERROR,
    forward_addresses,
    reverse_name,
    same_address,
)
from mta.lib.inet_proto import IPV4, IPV6, inet_families
from mta.lib.passed_stream import PassedStream
from mta.lib.smtp_stream import SmtpEof, SmtpTimeout
from mta.smtpd.state import (
    CLIENT_ATTR_UNKNOWN,
    SMTPD_FLAG_HANGUP,
    SMTPD_PEER_CODE_FORGED,
    SMTPD_PEER_CODE_OK,
    SMTPD_PEER_CODE_PERM,
    SMTPD_PEER_CODE_TEMP,
    Session,
)
from mta.system import Inet, Wait
from mta.util.escape import escape
from mta.util.valid_hostname import valid_hostaddr, valid_hostport
from mta.wire.text import to_text

#: How RFC 5321 marks IPv6 addresses.
IPV6_COL = "IPv6:"


def build_namaddr(session: Session, name: str, addr: str, port: str) -> str:
    """``name[addr]``, with the port where ``smtpd_client_port_logging`` says so."""
    suffix = f":{port}" if session.process.conf.smtpd_client_port_logging else ""
    return f"{name}[{addr}]{suffix}"


def peer_init(session: Session, passed: PassedStream | None = None) -> Wait[None]:
    """Fills in name, address and port of the client."""
    conf = session.process.conf
    named = False
    if passed is not None:
        _from_passed(session, passed)
        if conf.smtpd_upstream_proxy_protocol:
            session.process.log.warning(
                "ignoring non-empty smtpd_upstream_proxy_protocol setting behind postscreen"
            )
    elif session.stand_alone or not conf.smtpd_upstream_proxy_protocol:
        named = _from_stream(session)
    else:
        named = not (yield from _from_proxy(session))
    if not named:
        yield from _look_up_name(session)
    session.namaddr = build_namaddr(session, session.name, session.addr, session.port)


def set_address(session: Session, address: str) -> None:
    """Sets ``addr``, ``rfc_addr`` and ``addr_family``."""
    session.addr = address
    session.addr_family = IPV6 if ":" in address else IPV4
    session.rfc_addr = IPV6_COL + address if session.addr_family == IPV6 else address


def _from_stream(session: Session) -> bool:
    """Takes the remote end of the connection; whether the client has a name without lookups."""
    remote = session.client.stream.remote
    conf = session.process.conf
    families = inet_families(conf.inet_protocols)
    if session.stand_alone or not isinstance(remote, Inet):
        session.name = session.reverse_name = "localhost"
        set_address(session, "::1" if families[:1] == (IPV6,) else "127.0.0.1")
        session.addr_family = 0
        session.name_status = session.reverse_name_status = SMTPD_PEER_CODE_OK
        session.port = "0"
        return True
    address = ipaddress.ip_address(remote.host)
    if address.version not in families:
        kind = "AF_INET6" if address.version == IPV6 else "AF_INET"
        session.process.log.fatal(
            f'cannot handle socket type {kind} with "inet_protocols = {conf.inet_protocols}"'
        )
    if isinstance(address, ipaddress.IPv6Address) and IPV4 in families:
        address = address.ipv4_mapped or address
    session.port = str(remote.port)
    set_address(session, str(address))
    return False


def _from_passed(session: Session, passed: PassedStream) -> None:
    fatal = session.process.log.fatal
    for address in (passed.client_address, passed.server_address):
        verdict = valid_hostaddr(address)
        if not verdict:
            session.process.log.warning(verdict.reason)
            version = "IPv6" if ":" in address else "IPv4"
            fatal(f"bad {version} client address syntax from proxy: {address}")
    if not valid_hostport(passed.client_port):
        fatal(f"bad TCP client port number syntax from proxy: {passed.client_port}")
    set_address(session, passed.client_address)
    session.port = passed.client_port
    session.dest_addr = passed.server_address


def _from_proxy(session: Session) -> Wait[bool]:
    """Takes what an upstream proxy says; without it the client has to go."""
    log = session.process.log
    conf = session.process.conf
    if conf.smtpd_upstream_proxy_protocol != "haproxy":
        log.fatal(
            f"unsupported smtpd_upstream_proxy_protocol value: {conf.smtpd_upstream_proxy_protocol}"
        )
    client = session.client
    client.setup(conf.smtpd_upstream_proxy_timeout, True)
    try:
        data = yield from client.get(HAPROXY_MAX_LEN)
        if client.complete:
            found = haproxy_srvr_parse(to_text(data), inet_families(conf.inet_protocols))
            set_address(session, found.client_address)
            session.port = found.client_port
            session.dest_addr = found.server_address
            return True
        log.warning(f"haproxy read: line > {HAPROXY_MAX_LEN} characters")
    except SmtpEof:
        log.warning("haproxy read: unexpected EOF")
    except SmtpTimeout:
        log.warning("haproxy read: timeout error")
    except HaproxyError as error:
        log.warning(f"haproxy read: {error.args[0]}: {escape(data)}")
    session.flags |= SMTPD_FLAG_HANGUP
    return False


def _look_up_name(session: Session) -> Wait[None]:
    process = session.process
    if not process.conf.smtpd_peername_lookup:
        return
    reverse = yield from reverse_name(process, session.addr)
    if reverse.error:
        status = SMTPD_PEER_CODE_TEMP if reverse.error == EAI_AGAIN else SMTPD_PEER_CODE_PERM
        session.name_status = session.reverse_name_status = status
        return
    session.name = session.reverse_name = reverse.name
    session.name_status = session.reverse_name_status = SMTPD_PEER_CODE_OK
    forward = yield from forward_addresses(process, reverse.name, session.addr_family)
    if forward.error:
        process.log.warning(
            f"hostname {reverse.name} does not resolve to address {session.addr}: "
            f"{GAI_STRERROR[forward.error]}"
        )
        temporary = forward.error == EAI_AGAIN
        session.name_status = SMTPD_PEER_CODE_TEMP if temporary else SMTPD_PEER_CODE_FORGED
        session.name = CLIENT_ATTR_UNKNOWN
        return
    if not any(same_address(address, session.addr) for address in forward.addresses):
        process.log.warning(f"hostname {reverse.name} does not resolve to address {session.addr}")
        session.name = CLIENT_ATTR_UNKNOWN
        session.name_status = SMTPD_PEER_CODE_FORGED

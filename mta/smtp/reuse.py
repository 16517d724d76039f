"""smtp_reuse(3), smtp_key(3), smtp_session(3): sessions into the connection cache and out of it."""

from __future__ import annotations

from typing import NamedTuple

from mta.lib.scache import (
    ScacheFound,
    scache_find_dest,
    scache_find_endp,
    scache_save_dest,
    scache_save_endp,
)
from mta.lib.smtp_stream import SmtpStream
from mta.smtp.features import (
    SMTP_FEATURE_DESTINATION_MASK,
    SMTP_FEATURE_ENDPOINT_MASK,
    SMTP_FEATURE_FROM_CACHE,
    SMTP_FEATURE_RSET_REJECTED,
)
from mta.smtp.proto import rset
from mta.smtp.state import Session, State
from mta.system import Wait


class DestProperties(NamedTuple):
    """What is kept of a session under its destination."""

    dest: str
    host: str
    addr: str
    features: int


class EndpProperties(NamedTuple):
    """What is kept of a session under its endpoint.  ``expire_time`` in seconds since the epoch."""

    reuse_count: int
    features: int
    expire_time: int


def _key(*fields: str) -> str:
    """A lookup key; ``*`` stands for what does not apply."""
    return "".join(f"{field or '*'}\n" for field in fields)


def _dest_label(state: State) -> str:
    """SMTP_KEY_MASK_SCACHE_DEST_LABEL."""
    conf, service = state.client.conf, state.client.process.service
    passwords = bool(conf.smtp_sasl_password_maps)
    if conf.smtp_sender_dependent_authentication and passwords:
        return _key(service, state.request.sender, state.request_nexthop)
    return _key(service, state.request_nexthop)


def _endp_label(state: State) -> str:
    """SMTP_KEY_MASK_SCACHE_ENDP_LABEL."""
    conf = state.client.conf
    fields = [state.client.process.service]
    if conf.smtp_sasl_password_maps:
        if conf.smtp_sender_dependent_authentication:
            fields.append(state.request.sender)
        fields += [state.dest, state.host]
    return _key(*fields, state.addr, str(state.port))


def save_session(state: State) -> Wait[None]:
    """Leaves the session to the cache, under its address and, where it is the first good one of
    this request, under the next hop.
    """
    session = state.session
    assert session is not None
    process, ttl = state.client.process, state.client.conf.smtp_connection_cache_time_limit
    endp_label = _endp_label(state)
    state.session = None
    if state.request_nexthop:
        properties = DestProperties(
            state.dest, state.host, state.addr, session.features & SMTP_FEATURE_DESTINATION_MASK
        )
        yield from scache_save_dest(process, ttl, _dest_label(state), properties, endp_label)
    kept = EndpProperties(
        session.reuse_count, session.features & SMTP_FEATURE_ENDPOINT_MASK, session.expire_time
    )
    yield from scache_save_endp(process, ttl, endp_label, kept, session.stream.stream)


def reuse_nexthop(state: State) -> Wait[Session | None]:
    """A session that was kept under the next hop.  Changes dest, host and addr of the state."""
    if state.client.tls is not None and not state.client.tls.plaintext(state):
        return None
    found = yield from scache_find_dest(state.client.process, _dest_label(state))
    return None if found is None else (yield from _reuse(state, found))


def reuse_addr(state: State) -> Wait[Session | None]:
    """A session that was kept under the address at hand."""
    if state.client.tls is not None and not state.client.tls.plaintext(state):
        return None
    found = yield from scache_find_endp(state.client.process, _endp_label(state))
    return None if found is None else (yield from _reuse(state, found))


def _reuse(state: State, found: ScacheFound) -> Wait[Session | None]:
    """The session of a cached connection, when the server still answers to RSET."""
    dest: DestProperties | None = found.dest_prop
    endp: EndpProperties = found.endp_prop
    features = endp.features
    if dest is not None:
        features |= dest.features
        state.dest, state.host, state.addr = dest.dest, dest.host, dest.addr
    client = state.client
    stream = SmtpStream(found.stream, now=client.process.now)
    session = state.session = Session(state, stream, endp.expire_time)
    session.features = features | SMTP_FEATURE_FROM_CACHE
    session.reuse_count = endp.reuse_count + 1
    result = yield from rset(state)
    if result < 0 or session.features & SMTP_FEATURE_RSET_REJECTED:
        stream.close()
        state.session = None
        return None
    state.cache_used[state.addr] = None
    return session

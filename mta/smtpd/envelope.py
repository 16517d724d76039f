"""Opening a message: the queue file's envelope, or the before-queue filter (mail_open_stream)."""

from __future__ import annotations

from functools import lru_cache

from mta.lib.input_transp import input_transp_cleanup
from mta.lib.post_mail_head import smtputf8_autodetect
from mta.lib.requests import (
    CLEANUP_FLAG_MASK_EXTERNAL,
    CLEANUP_FLAG_SMTP_REPLY,
    CLEANUP_FLAG_SMTPUTF8,
)
from mta.smtpd.chat import chat_reply
from mta.smtpd.destination import open_cleanup
from mta.smtpd.milter import milters_of
from mta.smtpd.proxy import proxy_create
from mta.smtpd.state import (
    SMTPD_FLAG_SMTPUTF8,
    SMTPD_STATE_XFORWARD_CLIENT_MASK,
    Session,
)
from mta.system import Wait
from mta.wire.text import to_bytes

#: AF_INET and AF_INET6 of Linux.
_FAMILY_NUMBERS = {4: 2, 6: 10}


def mail_open_stream(session: Session) -> Wait[bool]:
    """Opens the message and logs whose it is.  False where the before-queue filter does not want
    it; the client has been told then.
    """
    if session.proxy_mail is not None:
        refusal = yield from proxy_create(session, session.proxy_mail)
        if refusal is not None:
            yield from chat_reply(session, refusal)
            if session.proxy is not None:
                session.proxy.free()
            return False
    else:
        if session.stand_alone:
            session.dest = yield from session.open_stand_alone(session)
        else:
            session.dest = yield from open_cleanup(session.process, _cleanup_flags(session))
        assert session.dest is not None
        session.cleanup = session.dest.message
        session.queue_id = session.cleanup.queue_id
        yield from _write_envelope(session)
    _log_client(session)
    return True


def _cleanup_flags(session: Session) -> int:
    flags = input_transp_cleanup(CLEANUP_FLAG_MASK_EXTERNAL, session.input_transp_mask)
    flags |= CLEANUP_FLAG_SMTP_REPLY
    if session.flags & SMTPD_FLAG_SMTPUTF8:
        return flags | CLEANUP_FLAG_SMTPUTF8
    return flags | smtputf8_autodetect(session.process, "smtpd")


def _write_envelope(session: Session) -> Wait[None]:
    message = session.cleanup
    if message is None:
        return
    records = message.records
    milters = milters_of(session)
    if milters is not None:
        yield from milters.dummy_to_cleanup(session, message)

    if not session.stand_alone:
        seconds, micros = divmod(session.arrival_time, 1_000_000)
        records.append(("T", b"%d %d" % (seconds, micros)))
        content_filter = session.process.conf.content_filter
        if content_filter:
            records.append(("L", to_bytes(content_filter)))
        records += _attributes(
            ("log_ident", session.forward_ident),
            ("rewrite_context", session.forward_domain),
            ("sasl_method", session.sasl_method),
            ("sasl_username", session.sasl_username),
            ("sasl_sender", session.sasl_sender),
            ("envelope_id", session.dsn_envid),
            ("ret_flags", session.dsn_ret or None),
        )
    records.append(("S", to_bytes(session.sender or "")))
    if session.encoding is not None:
        records += _attributes(("encoding", session.encoding))
    if not session.stand_alone:
        records += _attributes(
            ("log_client_name", session.forward_name),
            ("log_client_address", session.forward_addr),
            ("log_client_port", session.forward_port),
            ("log_message_origin", session.forward_namaddr),
            ("log_helo_name", session.forward_helo),
            ("log_protocol_name", session.forward_proto),
            ("client_name", session.name),
            ("reverse_client_name", session.reverse_name),
            ("client_address", session.addr),
            ("client_port", session.port),
            ("helo_name", session.helo_name),
            ("protocol_name", session.protocol),
            ("client_address_type", _FAMILY_NUMBERS.get(session.addr_family, 0)),
        )
    if session.verp_delims is not None:
        records.append(("V", to_bytes(session.verp_delims)))


@lru_cache(maxsize=1024)
def _attributes(*pairs: tuple[str, str | int | None]) -> tuple[tuple[str, bytes], ...]:
    """The records of the attributes that have a value.  Most messages of a session, and many of
    other sessions, have the same.
    """
    return tuple(
        ("A", to_bytes(f"{name}={value}")) for name, value in pairs if value is not None
    )


def _log_client(session: Session) -> None:
    parts = [f"{session.queue_id or 'NOQUEUE'}: client={session.namaddr}"]
    if session.sasl_method is not None:
        parts.append(f"sasl_method={session.sasl_method}")
    if session.sasl_username is not None:
        parts.append(f"sasl_username={session.sasl_username}")
    if session.sasl_sender is not None:
        parts.append(f"sasl_sender={session.sasl_sender}")
    if session.xforward.ident is not None:
        parts.append(f"orig_queue_id={session.xforward.ident}")
    if session.xforward.flags & SMTPD_STATE_XFORWARD_CLIENT_MASK:
        parts.append(f"orig_client={session.forward_namaddr}")
    session.process.log.info(", ".join(parts))

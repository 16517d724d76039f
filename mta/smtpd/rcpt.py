"""RCPT TO and its parameters (rcpt_cmd)."""

from __future__ import annotations

from dataclasses import dataclass

from mta.lib.dsn_mask import dsn_notify_mask
from mta.lib.mail_error import MAIL_ERROR_POLICY
from mta.lib.verify_sender_addr import valid_verify_sender_addr
from mta.smtpd.address import extract_addr
from mta.smtpd.chat import chat_reply
from mta.smtpd.commands import protocol_error, too_many_recipients
from mta.smtpd.envelope import mail_open_stream
from mta.smtpd.mail import DSN_DISABLED, unicode_allowed
from mta.smtpd.milter import check_milter_reply, milters_of
from mta.smtpd.proxy import WANT_OK
from mta.smtpd.state import SMTPD_FLAG_SMTPUTF8, Session
from mta.smtpd.token import Token
from mta.system import Wait
from mta.wire.ehlo_mask import EHLO_MASK_DSN
from mta.wire.quote import uxtext_unquote, xtext_unquote
from mta.wire.text import to_bytes

_BAD_RECIPIENT = "501 5.1.3 Bad recipient address syntax"


@dataclass(slots=True)
class _Options:
    """DSN parameters (RFC 3461); ``orcpt`` is ``type;address`` with the address decoded."""

    notify: int = 0
    orcpt: str | None = None


def rcpt_cmd(session: Session, argv: list[Token]) -> Wait[bool]:
    """RCPT TO:<address> [parameters]."""
    if not session.in_mail_transaction:
        return (yield from protocol_error(session, "503 5.5.1 Error: need MAIL command"))
    if len(argv) < 3 or argv[1].text.lower() != "to:":
        return (yield from protocol_error(session, "501 5.5.4 Syntax: RCPT TO:<address>"))
    if (yield from too_many_recipients(session)):
        return False
    recipient: str | None = None
    if not argv[2].bad:
        strict = session.process.conf.strict_rfc821_envelopes
        smtputf8 = bool(session.flags & SMTPD_FLAG_SMTPUTF8)
        recipient = yield from extract_addr(session, argv[2], False, strict, smtputf8)
    if recipient is None:
        return (yield from protocol_error(session, _BAD_RECIPIENT))
    options = yield from _parse_options(session, argv[3:])
    if options is None:
        return False
    limit = session.process.conf.smtpd_recipient_limit
    if limit and session.rcpt_count >= limit:
        return (yield from _over_limit(session))
    if not (yield from unicode_allowed(session, "recipient", recipient)):
        return False
    if not session.stand_alone:
        probe = yield from valid_verify_sender_addr(session.process, recipient)
        refusal = None
        if probe is None:
            refusal = yield from session.server.checks.check_rcpt(session, recipient)
        else:
            recipient = probe
        refusal = yield from _milter_rcpt(session, recipient, argv, refusal)
        if refusal is not None:
            yield from chat_reply(session, refusal)
            return False
    return (yield from _accept(session, recipient, argv[2].text, options))


def _parse_options(session: Session, words: list[Token]) -> Wait[_Options | None]:
    """The parameters; None when one of them was refused."""
    options = _Options()
    for word in words:
        keyword, equals, value = word.text.partition("=")
        keyword = keyword.upper() + equals
        if keyword not in ("NOTIFY=", "ORCPT="):
            yield from protocol_error(session, f"555 5.5.4 Unsupported option: {word.text}")
            return None
        if session.ehlo_discard_mask & EHLO_MASK_DSN:
            yield from protocol_error(session, DSN_DISABLED)
            return None
        if keyword == "NOTIFY=":
            mask = 0 if options.notify else dsn_notify_mask(session.process.log, value)
            if not mask:
                yield from protocol_error(session, "501 5.5.4 Error: Bad NOTIFY parameter syntax")
                return None
            options.notify = mask
        else:
            orcpt = _parse_orcpt(value)
            if options.orcpt is not None or orcpt is None:
                yield from protocol_error(session, "501 5.5.4 Error: Bad ORCPT parameter syntax")
                return None
            options.orcpt = orcpt
    return options


def _parse_orcpt(value: str) -> str | None:
    """``type;address`` with the address decoded; None for what is malformed."""
    kind, semicolon, coded = value.partition(";")
    if not semicolon or not kind:
        return None
    plain = uxtext_unquote(coded) if kind.lower() == "utf-8" else xtext_unquote(coded)
    return None if plain is None else f"{kind};{plain}"


def _over_limit(session: Session) -> Wait[bool]:
    """More than ``smtpd_recipient_limit``; a few more are no error of the client's."""
    yield from chat_reply(session, "452 4.5.3 Error: too many recipients")
    session.rcpt_overshoot += 1
    if session.rcpt_overshoot <= session.process.conf.smtpd_recipient_overshoot_limit:
        return True
    session.error_mask |= MAIL_ERROR_POLICY
    return False


def _milter_rcpt(
    session: Session, recipient: str, argv: list[Token], refusal: str | None
) -> Wait[str | None]:
    """Milters hear of all recipients, but can only refuse what we take."""
    milters = milters_of(session)
    if milters is None:
        return refusal
    saved, session.recipient = session.recipient, recipient
    session.milter_reject_text = refusal
    reply = yield from milters.rcpt(session, [token.text for token in argv[2:]], refusal)
    if refusal is None and reply is not None:
        refusal = check_milter_reply(session, reply)
    session.recipient = saved
    return refusal


def _accept(session: Session, recipient: str, external: str, options: _Options) -> Wait[bool]:
    """Stores the recipient: in the queue file, or with the before-queue filter."""
    if session.proxy is None and session.cleanup is None:
        if not (yield from mail_open_stream(session)):
            return False
    if session.proxy is not None:
        refusal = yield from session.proxy.command(WANT_OK, session.buffer)
        if refusal is not None:
            yield from chat_reply(session, refusal)
            return False
    session.rcpt_count += 1
    if session.recipient is None:
        session.recipient = recipient
    if session.cleanup is not None:
        put = session.cleanup.records.append
        if options.notify:
            put(("A", b"notify_flags=%d" % options.notify))
        orcpt = options.orcpt
        if orcpt is None:
            if external.startswith("<") and external.endswith(">"):
                external = external[1:-1]
            orcpt = f"rfc822;{external}"
        put(("A", to_bytes(f"dsn_orig_rcpt={orcpt}")))
        put(("R", to_bytes(recipient)))
    yield from chat_reply(session, "250 2.1.5 Ok")
    return True

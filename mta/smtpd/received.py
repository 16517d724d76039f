"""The Received header line that the message gets (data_cmd)."""

from __future__ import annotations

import re

from mta.smtpd.state import SMTPD_FLAG_SMTPUTF8, Session, TlsContext
from mta.wire.mail_date import mail_date
from mta.wire.quote import quote_822_local

_UNFIT = re.compile(r"[^ -~]|\\")


def comment_sanitize(text: str) -> str:
    """Text for a comment in a header: printable ASCII without backslashes, parentheses in pairs."""
    text = _UNFIT.sub(lambda found: "?" * len(found[0].encode("utf-8", "surrogateescape")), text)
    if "(" not in text and ")" not in text:
        return text
    out: list[str] = []
    depth = 0
    for char in text:
        if char == "(":
            depth += 1
        elif char == ")":
            if depth == 0:
                char = "?"
            else:
                depth -= 1
        out.append(char)
    return "".join(out) + ")" * depth


def received_lines(session: Session) -> list[str]:
    """The lines of the header."""
    process = session.process
    conf = process.conf
    lines = [
        f"Received: from {session.helo_name or session.name} ({session.name} [{session.rfc_addr}])"
    ]
    context = session.tls_context
    if context is not None and conf.smtpd_tls_received_header:
        lines += _tls_lines(context, conf.smtpd_tls_ask_ccert)
    if conf.smtpd_sasl_authenticated_header and session.sasl_username is not None:
        lines.append(f"\t(Authenticated sender: {comment_sanitize(session.sasl_username)})")
    by = f"\tby {conf.myhostname} ({conf.mail_name}) with {_protocol(session)}"
    if session.cleanup is not None:
        by += f" id {session.queue_id}"
    date = mail_date(session.arrival_time, process.system.timezone)
    if session.rcpt_count == 1 and session.recipient is not None:
        lines += [by, f"\tfor <{quote_822_local(session.recipient)}>; {date}"]
    else:
        lines += [f"{by};", f"\t{date}"]
    return lines


def _protocol(session: Session) -> str:
    """SMTP, ESMTP, UTF8SMTP, with S and A for TLS and AUTH (RFC 3848, RFC 6531)."""
    name = "UTF8SMTP" if session.flags & SMTPD_FLAG_SMTPUTF8 else session.protocol
    if session.protocol == "ESMTP":
        if session.tls_context is not None:
            name += "S"
        if session.sasl_username is not None:
            name += "A"
    return name


def _tls_lines(context: TlsContext, asked: bool) -> list[str]:
    lines = [
        f"\t(using {context.protocol} with cipher {context.cipher_name} "
        f"({context.cipher_usebits}/{context.cipher_algbits} bits)"
    ]
    lines += context.details()
    lines[-1] += ")"
    if context.is_present:
        verdict = "verified OK" if context.is_trusted else "not verified"
        lines.append(
            f'\t(Client CN "{comment_sanitize(context.peer_CN)}", '
            f'Issuer "{comment_sanitize(context.issuer_CN)}" ({verdict}))'
        )
    elif asked:
        lines.append("\t(Client did not present a certificate)")
    else:
        lines.append("\t(No client certificate requested)")
    return lines

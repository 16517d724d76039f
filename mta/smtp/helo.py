"""The greeting and the EHLO, HELO or LHLO dialogue (smtp_helo)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from mta.dict.errors import TableError
from mta.lib.requests import SMTPUTF8_FLAG_REQUESTED
from mta.lib.smtp_stream import SmtpDataError, SmtpError
from mta.smtp.chat import chat_cmd, chat_resp
from mta.smtp.client import Client
from mta.smtp.features import (
    PIX_WORKAROUNDS,
    SMTP_FEATURE_8BITMIME,
    SMTP_FEATURE_AUTH,
    SMTP_FEATURE_BEST_MX,
    SMTP_FEATURE_DSN,
    SMTP_FEATURE_ESMTP,
    SMTP_FEATURE_PIPELINING,
    SMTP_FEATURE_PIX_NO_ESMTP,
    SMTP_FEATURE_SIZE,
    SMTP_FEATURE_SMTPUTF8,
    SMTP_FEATURE_STARTTLS,
    XFORWARD_FEATURES,
)
from mta.smtp.state import Session, State
from mta.smtp.trouble import local_reply, mesg_fail, one_line, site_fail, stream_except
from mta.system import Wait
from mta.util.name_mask import Unknown, name_mask, str_name_mask
from mta.util.scalars import all_digits
from mta.wire.ehlo_mask import (
    EHLO_MASK_8BITMIME,
    EHLO_MASK_AUTH,
    EHLO_MASK_DSN,
    EHLO_MASK_PIPELINING,
    EHLO_MASK_SILENT,
    EHLO_MASK_SIZE,
    EHLO_MASK_SMTPUTF8,
    EHLO_MASK_STARTTLS,
    EHLO_MASK_XFORWARD,
    ehlo_mask,
    str_ehlo_mask,
)
from mta.wire.smtp_reply import SmtpReply

if TYPE_CHECKING:
    from mta.smtp.tls import ClientTls

#: A greeting of a PIX firewall that hides what is behind it.
_PIX_BANNER = re.compile(r"[20 *\t\n]*\Z")
_WORDS = re.compile(r"[^ \t\n]+")
_FIRST_WORD = re.compile(r"[- \t\n]*[^- \t\n]+(?:[- \t\n]|\Z)")
_EHLO_CODE = re.compile(r"[- ]*[^- ]+(?:[- ]|\Z)")
_EHLO_WORD = re.compile(r"[ \t=]*([^ \t=]+)")


class _Refused(Exception):
    """The dialogue has failed, and that has been reported; ``args[0]`` is the result."""


def helo(state: State) -> Wait[int]:
    """The dialogue before any message: 0, or -1 after a failure, which has been reported."""
    session = state.session
    assert session is not None
    tls = state.client.tls
    if tls is not None and tls.wrapper_mode and not state.in_starttls:
        return (yield from _secured(state, session, tls))
    conf = state.client.conf
    features = session.features
    session.stream.setup(conf.smtp_helo_timeout, bool(conf.smtp_per_record_deadline))
    doing = ["receiving the initial server greeting"]
    try:
        if not state.in_starttls or conf.smtp_tls_wrappermode:
            yield from _greeting(state, session)
        else:
            session.features |= SMTP_FEATURE_ESMTP
        reply = yield from _hello(state, session, doing)
        if session.features & SMTP_FEATURE_ESMTP:
            yield from _extensions(state, session, reply)
    except SmtpError as error:
        return (yield from stream_except(state, error, doing[0]))
    except _Refused as refused:
        return int(refused.args[0])
    return (yield from _requirements(state, session, features, doing))


def _secured(state: State, session: Session, tls: ClientTls) -> Wait[int]:
    """The TLS handshake, and the dialogue once more under its protection."""
    state.in_starttls = True
    result = yield from tls.start(state, session)
    if result == 0:
        result = yield from helo(state)
    state.in_starttls = False
    return result


def _refuse(state: State, session: Session, reply: SmtpReply) -> Wait[None]:
    """The server does not want to talk to us.  Raises _Refused."""
    text = f"host {session.namaddr} refused to talk to me: {one_line(reply)}"
    raise _Refused((yield from site_fail(state, reply, text)))


# -- the greeting ---------------------------------------------------------------------------------


def _greeting(state: State, session: Session) -> Wait[None]:
    client = state.client
    reply = yield from chat_resp(session)
    if reply.code // 100 != 2:
        if reply.code // 100 == 5 and client.conf.smtp_skip_5xx_greeting:
            reply = reply._replace(dsn="4" + reply.dsn[1:])
        yield from _refuse(state, session, reply)
    if _PIX_BANNER.match(reply.text):
        yield from _pix_workarounds(state, session)
    first = _FIRST_WORD.match(reply.text)
    words = _WORDS.findall(reply.text, first.end() if first else 0)
    for index, word in enumerate(words):
        if index == 0 and word.lower() == client.conf.myhostname.lower():
            if state.loop_detect:
                client.log.warning(
                    f"host {session.namaddrport} greeted me with my own hostname "
                    f"{client.conf.myhostname}"
                )
        elif word.upper() == "ESMTP":
            session.features |= SMTP_FEATURE_ESMTP
    _choose_esmtp(client, session)


def _choose_esmtp(client: Client, session: Session) -> None:
    """Whether to say EHLO (smtp_always_send_ehlo, smtp_never_send_ehlo); LMTP has LHLO alone."""
    pix = session.features & SMTP_FEATURE_PIX_NO_ESMTP
    if not client.smtp_mode or (client.conf.smtp_always_send_ehlo and not pix):
        session.features |= SMTP_FEATURE_ESMTP
    if client.smtp_mode and (client.conf.smtp_never_send_ehlo or pix):
        session.features &= ~SMTP_FEATURE_ESMTP


def _pix_workarounds(state: State, session: Session) -> Wait[None]:
    client = state.client
    words = None
    if client.pix_maps is not None:
        try:
            words = yield from client.pix_maps.find(state.addr)
        except TableError:
            pass
    source = "smtp_pix_workarounds" if words is None else "smtp_pix_workaround_maps"
    if words is None:
        words = client.conf.smtp_pix_workarounds
    if not words:
        return
    mask = name_mask(
        client.name(source), PIX_WORKAROUNDS, words, unknown=Unknown.IGNORE, any_case=True
    )
    names = str_name_mask("pix workaround bitmask", PIX_WORKAROUNDS, mask)
    client.log.info(
        f"{state.request.queue_id}: enabling PIX workarounds: {names} for {session.namaddrport}"
    )
    session.features |= mask


# -- EHLO -----------------------------------------------------------------------------------------


def _hello(state: State, session: Session, doing: list[str]) -> Wait[SmtpReply]:
    """EHLO, HELO where that fails, or LHLO.  Leaves in ``doing`` what we are at."""
    name = state.client.conf.smtp_helo_name
    if not state.client.smtp_mode:
        doing[0] = "performing the LHLO handshake"
        chat_cmd(session, f"LHLO {name}")
        reply = yield from chat_resp(session)
        if reply.code // 100 != 2:
            yield from _refuse(state, session, reply)
        return reply
    doing[0] = "performing the EHLO handshake"
    if session.features & SMTP_FEATURE_ESMTP:
        chat_cmd(session, f"EHLO {name}")
        reply = yield from chat_resp(session)
        if reply.code // 100 == 2:
            return reply
        if reply.code == 421:
            yield from _refuse(state, session, reply)
        session.features &= ~SMTP_FEATURE_ESMTP
    doing[0] = "performing the HELO handshake"
    chat_cmd(session, f"HELO {name}")
    reply = yield from chat_resp(session)
    if reply.code // 100 != 2:
        yield from _refuse(state, session, reply)
    return reply


def _discarded(state: State) -> Wait[int]:
    """The keywords to be ignored (smtp_discard_ehlo_keywords and its maps).  Raises
    SmtpDataError.
    """
    client = state.client
    words: str | None = None
    maps = client.ehlo_discard_maps
    if maps is not None:
        try:
            words = yield from maps.find(state.addr)
        except TableError:
            client.log.warning(
                f"{state.request.queue_id}: {maps.title} map lookup error for {state.addr}"
            )
            raise SmtpDataError from None
    if words is None:
        words = client.conf.smtp_discard_ehlo_keywords
    if not words:
        return 0
    mask = ehlo_mask(words)
    if mask and not mask & EHLO_MASK_SILENT:
        client.log.info(f"discarding EHLO keywords: {str_ehlo_mask(mask)}")
    return mask


def _extensions(state: State, session: Session, reply: SmtpReply) -> Wait[None]:
    """What the server offers."""
    discard = yield from _discarded(state)
    name, keywords = _ehlo_lines(reply.text)
    if name is not None:
        yield from _server_name(state, session, name)
    sasl = state.client.sasl
    for mask, take, rest in keywords:
        if discard & mask:
            continue
        if take is not _auth:
            take(session, rest)
        elif sasl is not None:
            yield from sasl.offered(session, rest)


@lru_cache(maxsize=512)
def _ehlo_lines(
    text: str,
) -> tuple[str | None, tuple[tuple[int, Callable[[Session, str], None], str], ...]]:
    """The server's name in a reply, and its keywords that we know with what comes after them."""
    name = None
    keywords = []
    for line in text.split("\n"):
        code = _EHLO_CODE.match(line)
        found = _EHLO_WORD.match(line, code.end()) if code else None
        if found is None:
            continue
        if name is None:
            name = found[1]
        elif found[1].upper() in _KEYWORDS:
            keywords.append((*_KEYWORDS[found[1].upper()], line[found.end() + 1 :]))
    return name, tuple(keywords)


def _server_name(state: State, session: Session, word: str) -> Wait[None]:
    session.helo = word
    myhostname = state.client.conf.myhostname
    if state.loop_detect and word.lower() == myhostname.lower():
        state.client.log.warning(
            f"host {session.namaddrport} replied to HELO/EHLO with my own hostname {myhostname}"
        )
        status = "5.4.6" if session.features & SMTP_FEATURE_BEST_MX else "4.4.6"
        text = f"mail for {state.request.nexthop} loops back to myself"
        raise _Refused((yield from site_fail(state, local_reply(status), text)))


def _flag(feature: int) -> Callable[[Session, str], None]:
    def take(session: Session, _: str) -> None:
        session.features |= feature

    return take


def _size(session: Session, rest: str) -> None:
    session.features |= SMTP_FEATURE_SIZE
    words = rest.replace("\t", " ").split(" ")
    word = next(filter(None, words), None)
    if word is None:
        return
    if all_digits(word):
        session.size_limit = int(word)
    else:
        session.state.client.log.warning(f'bad EHLO SIZE limit "{word}" from {session.namaddrport}')


def _xforward(session: Session, rest: str) -> None:
    for word in rest.split():
        session.features |= XFORWARD_FEATURES.get(word.upper(), 0)


def _auth(session: Session, rest: str) -> None:
    """AUTH, which may need tables: see _extensions."""


#: EHLO keywords: the bit that discards each, and what it means.
_KEYWORDS: dict[str, tuple[int, Callable[[Session, str], None]]] = {
    "8BITMIME": (EHLO_MASK_8BITMIME, _flag(SMTP_FEATURE_8BITMIME)),
    "PIPELINING": (EHLO_MASK_PIPELINING, _flag(SMTP_FEATURE_PIPELINING)),
    "XFORWARD": (EHLO_MASK_XFORWARD, _xforward),
    "SIZE": (EHLO_MASK_SIZE, _size),
    "STARTTLS": (EHLO_MASK_STARTTLS, _flag(SMTP_FEATURE_STARTTLS)),
    "AUTH": (EHLO_MASK_AUTH, _auth),
    "DSN": (EHLO_MASK_DSN, _flag(SMTP_FEATURE_DSN)),
    "SMTPUTF8": (EHLO_MASK_SMTPUTF8, _flag(SMTP_FEATURE_SMTPUTF8)),
}


# -- what we need ---------------------------------------------------------------------------------


def _requirements(state: State, session: Session, features: int, doing: list[str]) -> Wait[int]:
    """SMTPUTF8 and TLS where they are necessary, and the login.  ``features`` are those before the
    dialogue.
    """
    client = state.client
    utf8 = state.request.smtputf8
    offered = session.features & SMTP_FEATURE_SMTPUTF8
    if not offered and utf8 & SMTPUTF8_FLAG_REQUESTED and utf8 & ~SMTPUTF8_FLAG_REQUESTED:
        text = f"SMTPUTF8 is required, but was not offered by host {session.namaddr}"
        return (yield from mesg_fail(state, local_reply("5.6.7"), text))
    if offered and not session.features & SMTP_FEATURE_8BITMIME:
        client.log.info(f"host {session.namaddr} offers SMTPUTF8 support, but not 8BITMIME")
        session.features |= SMTP_FEATURE_8BITMIME
    if state.in_starttls:
        return (yield from _login(state, session, doing))
    offered = session.features & SMTP_FEATURE_STARTTLS
    if client.tls is None:
        if offered and client.conf.smtp_tls_note_starttls_offer:
            client.log.info(f"Host offered STARTTLS: [{state.host}]")
        return (yield from _login(state, session, doing))
    if (begin := (yield from client.tls.after_ehlo(state, session))) is None:
        if offered and not session.features & SMTP_FEATURE_STARTTLS:  # it was refused
            doing[0] = "receiving the STARTTLS response"
        return (yield from _login(state, session, doing))
    if begin < 0:
        return begin
    session.features = features
    session.sasl = None
    return (yield from _secured(state, session, client.tls))


def _login(state: State, session: Session, doing: list[str]) -> Wait[int]:
    """AUTH, where the server offers it and we have a password for it."""
    sasl = state.client.sasl
    if sasl is None or not session.features & SMTP_FEATURE_AUTH:
        return 0
    try:
        return (yield from sasl.login(state, session))
    except SmtpError as error:
        return (yield from stream_except(state, error, doing[0]))

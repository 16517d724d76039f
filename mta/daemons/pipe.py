r"""pipe(8) - the delivery agent that hands mail to external commands.

DESCRIPTION
    The entry in master.cf tells the command and how it gets the mail.  Attributes, before
    ``argv=`` which is the last:

    ``user=NAME`` or ``user=NAME:GROUP``, whose rights the command has (never root's or the mail
    system's); ``directory=PATH``; ``chroot=PATH``; ``eol=\r\n`` as line ends;
    ``null_sender=ADDRESS`` for mail without a sender; ``size=BYTES``, the largest message;
    ``flags=``: ``B`` an empty line at the end, ``D`` Delivered-To, ``F`` a From line,
    ``O`` X-Original-To, ``R`` Return-Path, ``X`` this is the final delivery, ``h`` fold domains,
    ``u`` fold localparts, ``q`` quote addresses, ``.`` double dots at the start of lines, ``>``
    before lines with ``From``.

    A word of the command with ``$recipient``, ``$original_recipient``, ``$user``, ``$extension``,
    ``$mailbox`` or ``$domain`` comes once for each recipient.  Others are ``$nexthop``,
    ``$sender``, ``$size``, ``$queue_id``, ``$client_…`` and ``$sasl_…``.

DIAGNOSTICS
    ``status=sent (delivered via NAME service)`` with what the command printed.  Else its exit
    status (sysexits(3)) decides, or an enhanced status code at the start of its output.

CONFIGURATION PARAMETERS
    command_time_limit, NAME_time_limit, export_environment, mail_owner, setgid_group,
    pipe_delivery_status_filter, recipient_delimiter, config_directory, smtputf8_enable
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mta.lib.deliver_completed import deliver_completed
from mta.lib.delivered_hdr import DeliveredHeaders
from mta.lib.delivery_status import bounce_append, defer_append, sent
from mta.lib.dsn_filter import set_dsn_filter
from mta.lib.fold_addr import FOLD_ADDR_HOST, FOLD_ADDR_USER, fold_addr
from mta.lib.mail_addr_names import MAIL_ADDR_MAIL_DAEMON
from mta.lib.mail_copy import (
    MAIL_COPY_BLANK,
    MAIL_COPY_DELIVERED,
    MAIL_COPY_DOT,
    MAIL_COPY_FROM,
    MAIL_COPY_ORIG_RCPT,
    MAIL_COPY_QUOTE,
    MAIL_COPY_RETURN_PATH,
    CorruptError,
    mail_copy,
)
from mta.lib.mail_owner import mail_owner
from mta.lib.pipe_command import Job, PipeStatus, pipe_command
from mta.lib.recipient import Recipient
from mta.lib.requests import (
    DEL_REQ_FLAG_SUCCESS,
    DEL_REQ_TRACE_FLAGS_MASK,
    DEL_REQ_TRACE_ONLY_MASK,
    DeliverReply,
    DeliverRequest,
)
from mta.lib.service_user import ServiceUser, service_user
from mta.lib.split_addr import split_addr
from mta.lib.table_changes import must_begin_anew
from mta.master.server import Process, Program, program
from mta.system import Wait
from mta.util.casefold import casefold
from mta.util.escape import unescape
from mta.util.mac_expand import MacError, Scan, mac_expand, parse_macro
from mta.wire.dsn import Dsn
from mta.wire.quote import quote_822_local
from mta.wire.text import cut, to_bytes

_COPY_FLAGS = {
    "B": MAIL_COPY_BLANK,
    "D": MAIL_COPY_DELIVERED,
    "F": MAIL_COPY_FROM,
    "O": MAIL_COPY_ORIG_RCPT,
    "R": MAIL_COPY_RETURN_PATH,
    ".": MAIL_COPY_DOT,
    ">": MAIL_COPY_QUOTE,
}
_FOLD_FLAGS = {"h": FOLD_ADDR_HOST, "u": FOLD_ADDR_USER}

#: Names whose values come from the request: names in the command, fields of the request.
_REQUEST_NAMES = {
    "client_address": "client_addr",
    "client_hostname": "client_name",
    "client_port": "client_port",
    "client_protocol": "client_proto",
    "client_helo": "client_helo",
    "sasl_method": "sasl_method",
    "sasl_username": "sasl_username",
    "sasl_sender": "sasl_sender",
    "queue_id": "queue_id",
}
_RECIPIENT_NAMES = ("recipient", "original_recipient", "user", "extension", "mailbox", "domain")
_NAMES = frozenset((*_RECIPIENT_NAMES, "nexthop", "sender", "size", *_REQUEST_NAMES))
_MISCONFIGURED = Dsn("4.3.5", "mail system configuration error")
_OFF_T_MAX = 2**63 - 1


@dataclass(slots=True)
class Attributes:
    """What the master.cf entry says."""

    copy_flags: int = 0
    fold_flags: int = 0
    quote: bool = False
    final: bool = False
    user: ServiceUser | None = None
    directory: str = ""
    chroot: str = ""
    eol: bytes = b"\n"
    null_sender: str = MAIL_ADDR_MAIL_DAEMON
    size_limit: int = 0
    argv: list[str] = field(default_factory=list)
    time_limit: int = 0


class _BadCommandError(Exception):
    """The words of the command cannot be expanded; the warning has been logged."""


# -- the entry of master.cf -----------------------------------------------------------------------


def parse_attributes(process: Process) -> Attributes:
    """Reads the attributes of the service.  What is wrong is fatal."""
    attributes = Attributes()
    service = process.service
    attributes.time_limit = process.conf.service_time(
        service, "_time_limit", process.conf.command_time_limit, "s", 1
    )
    for index, word in enumerate(process.args):
        name, equals, value = word.partition("=")
        name = name.lower()
        if name == "argv" and equals:
            attributes.argv = [value, *process.args[index + 1 :]]
            break
        setter = _SETTERS.get(name)
        if setter is None or not equals:
            process.log.fatal(f"unknown attribute name: {word}")
        setter(process, attributes, value)
    _check_rights(process, attributes)
    return attributes


def _set_flags(process: Process, attributes: Attributes, value: str) -> None:
    for letter in value:
        if letter in _COPY_FLAGS:
            attributes.copy_flags |= _COPY_FLAGS[letter]
        elif letter in _FOLD_FLAGS:
            attributes.fold_flags |= _FOLD_FLAGS[letter]
        elif letter == "q":
            attributes.quote = True
        elif letter == "X":
            attributes.final = True
        else:
            process.log.fatal(f"unknown flag: {letter} (ignored)")


def _set_user(process: Process, attributes: Attributes, value: str) -> None:
    attributes.user = service_user(
        process,
        value,
        "get_service_attr: unknown username: ",
        "get_service_attr: unknown group: ",
    )


def _set_directory(_: Process, attributes: Attributes, value: str) -> None:
    attributes.directory = value


def _set_chroot(_: Process, attributes: Attributes, value: str) -> None:
    attributes.chroot = value


def _set_eol(_: Process, attributes: Attributes, value: str) -> None:
    attributes.eol = to_bytes(unescape(value)).partition(b"\0")[0]


def _set_null_sender(_: Process, attributes: Attributes, value: str) -> None:
    attributes.null_sender = value


def _set_size(process: Process, attributes: Attributes, value: str) -> None:
    if not re.fullmatch(r"[0-9]*", value) or int(value or 0) > _OFF_T_MAX:
        process.log.fatal(f"get_service_attr: bad size= value: {value}")
    attributes.size_limit = int(value or 0)


_SETTERS: dict[str, Callable[[Process, Attributes, str], None]] = {
    "flags": _set_flags,
    "user": _set_user,
    "directory": _set_directory,
    "chroot": _set_chroot,
    "eol": _set_eol,
    "null_sender": _set_null_sender,
    "size": _set_size,
}


def _check_rights(process: Process, attributes: Attributes) -> None:
    fatal, conf = process.log.fatal, process.conf
    user = attributes.user
    if user is None:
        fatal("missing user= command-line attribute")
    if not attributes.argv:
        fatal("missing argv= command-line attribute")
    owner = mail_owner(process)
    begin = "user= command-line attribute specifies"
    if user.uid == 0:
        fatal(f"{begin} root privileges")
    if user.uid == owner.uid:
        fatal(f"{begin} mail system owner {conf.mail_owner}")
    if user.gid == 0:
        fatal(f"{begin} privileged group id 0")
    if user.gid == owner.gid:
        fatal(f"{begin} mail system owner {conf.mail_owner} group id {user.gid}")
    if user.gid == process.system.accounts.group(conf.setgid_group):
        fatal(f"{begin} mail system {conf.setgid_group} group id {user.gid}")


# -- the command ----------------------------------------------------------------------------------


class Expander:
    """The words of the command for one request."""

    def __init__(self, process: Process, attributes: Attributes, request: DeliverRequest) -> None:
        self.process = process
        self.attributes = attributes
        self.request = request
        self.utf8 = bool(process.conf.smtputf8_enable)
        self.sender = request.sender or attributes.null_sender
        self.values = self._common()

    def _common(self) -> dict[str, str]:
        """The values that are the same for all recipients."""
        request, attributes = self.request, self.attributes
        sender, nexthop = self.sender, request.nexthop
        if sender and attributes.quote:
            sender = quote_822_local(sender)
        if attributes.fold_flags & FOLD_ADDR_HOST:
            nexthop = casefold(nexthop, self.utf8)
        return {
            "sender": sender,
            "nexthop": nexthop,
            "size": str(request.data_size),
            **{name: getattr(request, field) for name, field in _REQUEST_NAMES.items()},
        }

    def argv(self) -> list[str]:
        """All words.  Raises _BadCommandError."""
        return [text for word in self.attributes.argv for text in self._word(word)]

    def _word(self, word: str) -> Iterator[str]:
        if "$" not in word:
            yield word
            return
        wanted = self._names(word)
        if not wanted:
            yield self._expand(word, self.values)
            return
        for recipient in self.request.recipients:
            values = self._of_recipient(recipient, wanted)
            if values is not None:
                yield self._expand(word, {**self.values, **values})

    def _names(self, word: str) -> list[str]:
        """The names in a word that depend on the recipient.  Raises _BadCommandError."""
        names: list[str] = []
        warn = self.process.log.warning
        try:
            for item in parse_macro(word):
                if not isinstance(item, Scan):
                    continue
                if item.expression not in _NAMES:
                    directory = self.process.conf.config_directory
                    warn(
                        f"file {directory}/master.cf: service {self.process.service}: "
                        f'unknown macro name: "{item.expression}"'
                    )
                    raise _BadCommandError(word)
                if item.expression in _RECIPIENT_NAMES:
                    names.append(item.expression)
        except MacError as error:
            warn(error.text)
            raise _BadCommandError(word) from error
        return names

    @staticmethod
    def _expand(word: str, values: dict[str, str]) -> str:
        return mac_expand(word, values.get).text

    def _fold(self, address: str) -> str:
        return fold_addr(address, self.attributes.fold_flags, self.utf8)

    def _of_recipient(self, recipient: Recipient, wanted: list[str]) -> dict[str, str] | None:
        """The values for a recipient; None where the word is left out: it has no user name."""
        values: dict[str, str] = {}
        quote = quote_822_local if self.attributes.quote else str
        if "recipient" in wanted:
            values["recipient"] = self._fold(quote(recipient.address))
        if "original_recipient" in wanted:
            values["original_recipient"] = self._fold(quote(recipient.orig_addr))
        for name in ("user", "extension", "mailbox", "domain"):
            if name in wanted:
                values[name] = self._part(name, recipient.address)
                if name == "user" and not values[name]:
                    return None
        return values

    def _part(self, name: str, address: str) -> str:
        """A part of a recipient's address."""
        mailbox, ratsign, domain = self._fold(address).rpartition("@")
        if not ratsign:
            self.process.log.warning(f"no @ in recipient address: {address}")
            mailbox, domain = self._fold(address), ""
        if name == "domain":
            return domain
        if name == "mailbox":
            return mailbox
        delimiters = self.process.conf.recipient_delimiter
        user, extension = mailbox, None
        if delimiters:
            user, extension = split_addr(self.process, mailbox, delimiters)
        return user if name == "user" else extension or ""


# -- the agent ------------------------------------------------------------------------------------


@program("pipe")
class Pipe(Program):
    """One process of pipe(8)."""

    arguments = True

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.attributes: Attributes | None = None
        self._begin()

    def _begin(self) -> None:
        name = "pipe_delivery_status_filter"
        set_dsn_filter(self.process, name, self.process.conf.pipe_delivery_status_filter)

    def serve(self, request: DeliverRequest) -> Wait[DeliverReply]:
        """Hands the message to the command, once for all recipients of the request."""
        process = self.process
        if must_begin_anew(process):
            self._begin()
        if not request.nexthop:
            process.log.fatal("empty nexthop hostname")
        if self.attributes is None:
            self.attributes = parse_attributes(process)
        done = yield from self._deliver(self.attributes, request)
        return DeliverReply(not done)

    def _deliver(self, attributes: Attributes, request: DeliverRequest) -> Wait[bool]:
        process = self.process
        early = self._refusal(attributes, request)
        if early is not None:
            done = yield from self._failed(request, early)
            self._warn_limit(attributes, request)
            return done
        if request.flags & DEL_REQ_TRACE_ONLY_MASK:
            text = f"delivers to command: {attributes.argv[0]}"
            return (yield from self._sent(request, Dsn("2.0.0", text)))
        if attributes.copy_flags & MAIL_COPY_DELIVERED:
            address = request.recipients[0].address
            utf8 = bool(process.conf.smtputf8_enable)
            if address in DeliveredHeaders(request.file, request.data_offset, utf8):
                dsn = Dsn("5.4.6", f"mail forwarding loop for {address}")
                return (yield from self._failed(request, dsn))
        expander = Expander(process, attributes, request)
        try:
            argv = expander.argv()
            message = self._copy(attributes, request, expander.sender)
        except _BadCommandError:
            return (yield from self._failed(request, _MISCONFIGURED))
        except CorruptError:
            return False
        return (yield from self._run(attributes, request, argv, message))

    def _refusal(self, attributes: Attributes, request: DeliverRequest) -> Dsn | None:
        """What is wrong before anything else is done."""
        if self._too_many(attributes, request):
            return _MISCONFIGURED
        if 0 < attributes.size_limit < request.data_size:
            return Dsn("5.2.3", "message too large")
        return None

    @staticmethod
    def _too_many(attributes: Attributes, request: DeliverRequest) -> str:
        """The flag that allows only one recipient, where there are more."""
        if len(request.recipients) > 1:
            for letter in ("D", "O"):
                if attributes.copy_flags & _COPY_FLAGS[letter]:
                    return letter
        return ""

    def _warn_limit(self, attributes: Attributes, request: DeliverRequest) -> None:
        letter = self._too_many(attributes, request)
        if letter:
            self.process.log.warning(
                f"pipe flag `{letter}' requires "
                f"{self.process.service}_destination_recipient_limit = 1"
            )

    def _copy(self, attributes: Attributes, request: DeliverRequest, sender: str) -> bytes:
        """The message.  Raises CorruptError."""
        first = request.recipients[0]
        return mail_copy(
            self.process,
            request,
            attributes.copy_flags,
            sender=sender,
            orig_rcpt=first.orig_addr,
            delivered=first.address,
            eol=attributes.eol,
        )

    def _run(
        self,
        attributes: Attributes,
        request: DeliverRequest,
        argv: Sequence[str],
        message: bytes,
    ) -> Wait[bool]:
        user = attributes.user
        assert user is not None
        job = Job(
            user.uid,
            user.gid,
            attributes.time_limit,
            argv=argv,
            cwd=attributes.directory,
            chroot=attributes.chroot,
        )
        result = yield from pipe_command(self.process, job, message)
        if result.status is not PipeStatus.OK:
            return (yield from self._failed(request, result.dsn))
        said = result.dsn.reason.rstrip(" \t\n\v\f\r")
        said = f" ({cut(said, 100)})" if said else ""
        reason = f"delivered via {self.process.service} service{said}"
        action = "delivered" if attributes.final else "relayed"
        return (yield from self._sent(request, Dsn("2.0.0", reason, action)))

    # -- what becomes of the recipients ---------------------------------------------------------

    def _sent(self, request: DeliverRequest, dsn: Dsn) -> Wait[bool]:
        """All recipients got it; whether all are finished."""
        completes = bool(request.flags & DEL_REQ_FLAG_SUCCESS)
        return (yield from self._report(sent, request, dsn, completes))

    def _failed(self, request: DeliverRequest, dsn: Dsn) -> Wait[bool]:
        """None of the recipients got it; whether all are finished."""
        append = defer_append if dsn.status.startswith("4") else bounce_append
        return (yield from self._report(append, request, dsn, True))

    def _report(
        self, report: Callable[..., Wait[bool]], request: DeliverRequest, dsn: Dsn, completes: bool
    ) -> Wait[bool]:
        """Reports all recipients; whether all are finished.  ``completes``: those that are finished
        are marked as done in the queue file.
        """
        all_done = True
        for recipient in request.recipients:
            done = yield from report(
                self.process,
                request.flags & DEL_REQ_TRACE_FLAGS_MASK,
                request.queue_id,
                request.stats,
                recipient,
                self.process.service,
                dsn,
            )
            if not done:
                all_done = False
            elif completes:
                deliver_completed(request.file, recipient.offset)
        return all_done

"""What a delivery of local(8) carries with it while aliases and forward files are expanded.

A :class:`State` is handed down by value: who changes it makes its own first (:meth:`State.deeper`),
so that nothing has to be undone.  The rights of the user on whose behalf something is delivered are
kept apart (:class:`UserAttr`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mta.dict.flags import (
    ADDRESS_FLAGS,
    DICT_FLAG_LOCK,
    DICT_FLAG_NO_REGSUB,
    DICT_FLAG_PARANOID,
    DICT_FLAG_UTF8_REQUEST,
)
from mta.lib.been_here import BeenHere
from mta.lib.class_mask import class_mask
from mta.lib.delivered_hdr import DeliveredHeaders
from mta.lib.delivery_status import bounce_append, defer_append, sent, trace_append
from mta.lib.ext_prop import ext_prop_mask
from mta.lib.mail_copy import MAIL_COPY_DELIVERED, mail_copy
from mta.lib.maps import Maps
from mta.lib.mbox import MBOX_DOT_LOCK, mbox_lock_mask
from mta.lib.recipient import DSN_NOTIFY_NEVER, DSN_NOTIFY_SUCCESS, Recipient
from mta.lib.requests import (
    BOUNCE_FLAG_NONE,
    DEL_REQ_FLAG_MTA_VRFY,
    DEL_REQ_TRACE_FLAGS_MASK,
    DEL_REQ_TRACE_ONLY_MASK,
    DeliverRequest,
)
from mta.system import Account, Wait
from mta.util.casefold import casefold
from mta.wire.dsn import Dsn

if TYPE_CHECKING:
    from mta.local.forward import Forwards
    from mta.master.server import Process

EXPAND_TYPE_ALIAS = 1 << 0
EXPAND_TYPE_FWD = 1 << 1
EXPAND_TYPE_INCL = 1 << 2

DELIVER_HDR_CMD = 1 << 0
DELIVER_HDR_FILE = 1 << 1
DELIVER_HDR_FWD = 1 << 2

_EXPANSIONS = {"alias": EXPAND_TYPE_ALIAS, "forward": EXPAND_TYPE_FWD, "include": EXPAND_TYPE_INCL}
_HEADERS = {"command": DELIVER_HDR_CMD, "file": DELIVER_HDR_FILE, "forward": DELIVER_HDR_FWD}
_TRANSPORT_FLAGS = DICT_FLAG_LOCK | DICT_FLAG_NO_REGSUB | DICT_FLAG_UTF8_REQUEST
_COMMAND_FLAGS = DICT_FLAG_LOCK | DICT_FLAG_PARANOID | DICT_FLAG_UTF8_REQUEST


class UserAttr(NamedTuple):
    """On whose behalf files are written and commands run; without a home where there is none."""

    uid: int = 0
    gid: int = 0
    home: str | None = None
    logname: str | None = None
    shell: str | None = None

    @classmethod
    def of(cls, account: Account) -> UserAttr:
        """The rights of an account."""
        return cls(account.uid, account.gid, account.home, account.name, account.shell)


class Agent:
    """What does not change from message to message: tables and restrictions of a process."""

    def __init__(self, process: Process) -> None:
        self.process = process
        conf = process.conf
        if conf.mailbox_size_limit > 0 and (
            conf.mailbox_size_limit < conf.message_size_limit or conf.message_size_limit == 0
        ):
            process.log.fatal(
                "main.cf configuration error: mailbox_size_limit is smaller than message_size_limit"
            )
        self.alias_maps = Maps(
            process, "aliases", conf.alias_maps, ADDRESS_FLAGS | DICT_FLAG_PARANOID
        )
        self.file_mask = self._mask("allow_mail_to_files", _EXPANSIONS)
        self.command_mask = self._mask("allow_mail_to_commands", _EXPANSIONS)
        self.ext_prop_mask = ext_prop_mask(process)
        self.header_mask = self._mask("prepend_delivered_header", _HEADERS)
        self.lock_mask = self._lock_mask()
        self._maps: dict[str, Maps] = {}

    def _mask(self, parameter: str, table: dict[str, int]) -> int:
        return class_mask(self.process, parameter, table, getattr(self.process.conf, parameter))

    def _lock_mask(self) -> int:
        process, parameter = self.process, "mailbox_delivery_lock"
        mask = mbox_lock_mask(process, parameter, process.conf.mailbox_delivery_lock)
        if process.conf.sun_mailtool_compatibility:
            process.log.warning(
                "sun_mailtool_compatibility: deprecated parameter, "
                f'use "{parameter} = dotlock" instead'
            )
            mask &= MBOX_DOT_LOCK
        if not mask:
            process.log.fatal(
                f"parameter {parameter} specifies no applicable mailbox locking method"
            )
        return mask

    def transport_maps(self, parameter: str) -> Maps | None:
        """The tables of ``mailbox_transport_maps`` or ``fallback_transport_maps``."""
        return self._lazy(parameter, _TRANSPORT_FLAGS)

    def command_maps(self) -> Maps | None:
        """The tables of ``mailbox_command_maps``."""
        return self._lazy("mailbox_command_maps", _COMMAND_FLAGS)

    def _lazy(self, parameter: str, flags: int) -> Maps | None:
        maps = self._maps.get(parameter)
        if maps is None:
            spec: str = getattr(self.process.conf, parameter)
            if not spec:
                return None
            maps = self._maps[parameter] = Maps(self.process, parameter, spec, flags)
        return maps

    def default_rights(self, user: UserAttr) -> UserAttr:
        """The rights of ``default_privs`` in place of those of root."""
        if user.uid and user.gid:
            return user
        name = self.process.conf.default_privs
        account = self.process.system.accounts.by_name(name)
        if account is None:
            self.process.log.fatal(f"file /etc/postfix/main.cf: unknown account: {name}")
        return user._replace(uid=user.uid or account.uid, gid=user.gid or account.gid)


class State:
    """One recipient on its way, at some depth of expansion."""

    agent: Agent
    request: DeliverRequest
    dup_filter: BeenHere
    loop_info: DeliveredHeaders
    forwards: Forwards
    #: What this agent is called in master.cf.
    relay: str
    #: The envelope: the sender may be replaced by the owner of an alias.
    sender: str
    dsn_envid: str
    dsn_ret: int
    rcpt: Recipient
    #: The depth of recursion.
    level: int
    #: Parts of the recipient's address, in lower case; None where there is no such part.
    domain: str | None
    local: str
    user: str
    extension: str | None
    #: The extension, as long as nothing has matched with it.
    unmatched: str | None
    #: Who gets reports on problems: the owner of an alias, or of a forward file.
    owner: str | None
    #: For Delivered-To.
    delivered: str | None
    #: What is being expanded: EXPAND_TYPE_*, and its name.
    exp_type: int
    exp_from: str | None

    @classmethod
    def start(
        cls,
        agent: Agent,
        request: DeliverRequest,
        loop_info: DeliveredHeaders,
        forwards: Forwards,
        recipient: Recipient,
    ) -> State:
        """The beginning of a recipient's delivery."""
        state = cls()
        conf = agent.process.conf
        state.agent = agent
        state.request = request
        state.dup_filter = BeenHere(conf.duplicate_filter_limit, bool(conf.smtputf8_enable))
        state.loop_info = loop_info
        state.forwards = forwards
        state.relay = agent.process.service
        state.sender = request.sender
        state.dsn_envid = request.dsn_envid
        state.dsn_ret = request.dsn_ret
        state.rcpt = recipient
        state.level = state.exp_type = 0
        state.local = state.user = ""
        state.domain = state.extension = state.unmatched = None
        state.owner = state.delivered = state.exp_from = None
        return state

    def deeper(self) -> State:
        """A state of one's own, one level down."""
        state = State.__new__(State)
        state.__dict__.update(self.__dict__)
        state.level += 1
        return state

    def set_rcpt(
        self,
        address: str | None = None,
        *,
        orig_addr: str | None = None,
        dsn_orcpt: str | None = None,
        dsn_notify: int | None = None,
    ) -> None:
        """Changes the recipient, of which others may hold the old form."""
        old = self.rcpt
        self.rcpt = Recipient(
            old.address if address is None else address,
            old.orig_addr if orig_addr is None else orig_addr,
            old.dsn_orcpt if dsn_orcpt is None else dsn_orcpt,
            old.dsn_notify if dsn_notify is None else dsn_notify,
            old.offset,
        )

    # -- short forms --------------------------------------------------------------------------

    @property
    def process(self) -> Process:
        """The process that delivers."""
        return self.agent.process

    @property
    def trace_flags(self) -> int:
        """What reports need of the request's flags (BOUNCE_FLAGS)."""
        return self.request.flags & DEL_REQ_TRACE_FLAGS_MASK

    @property
    def trace_only(self) -> bool:
        """Whether nothing is to be delivered: only what would happen is of interest."""
        return bool(self.request.flags & DEL_REQ_TRACE_ONLY_MASK)

    @property
    def verify_only(self) -> bool:
        """Whether this is an address verification probe."""
        return bool(self.request.flags & DEL_REQ_FLAG_MTA_VRFY)

    @property
    def utf8(self) -> bool:
        """Whether text folds as Unicode (``smtputf8_enable``)."""
        return bool(self.agent.process.conf.smtputf8_enable)

    def fold(self, text: str) -> str:
        """Text for comparison without regard to case."""
        return casefold(text, self.utf8)

    def been_here(self, text: str) -> bool:
        """Whether this was done before for the same recipient of the message."""
        return self.dup_filter.add(text)

    def copy(self, flags: int, where: int) -> bytes:
        """The message as MAIL_COPY_* say, for a destination of a kind (DELIVER_HDR_*): without
        Delivered-To where ``prepend_delivered_header`` has not got it.  Raises CorruptError.
        """
        if not self.agent.header_mask & where:
            flags &= ~MAIL_COPY_DELIVERED
        return mail_copy(
            self.process,
            self.request,
            flags,
            sender=self.sender,
            orig_rcpt=self.rcpt.orig_addr,
            delivered=self.delivered or "",
        )

    # -- what becomes of the recipient: True where it is finished ------------------------------

    def sent(self, status: str, reason: str, action: str = "") -> Wait[bool]:
        """It is delivered."""
        return sent(
            self.process,
            self.trace_flags,
            self.request.queue_id,
            self.request.stats,
            self.rcpt,
            self.relay,
            Dsn(status, reason, action),
        )

    def fail(self, dsn: Dsn) -> Wait[bool]:
        """It fails, for now (class 4) or for good."""
        report = defer_append if dsn.status[:1] == "4" else bounce_append
        return report(
            self.process,
            self.trace_flags,
            self.request.queue_id,
            self.request.stats,
            self.rcpt,
            self.relay,
            dsn,
        )

    def bounce(self, status: str, reason: str) -> Wait[bool]:
        """It fails for good."""
        return self.fail(Dsn(status, reason))

    def defer(self, status: str, reason: str) -> Wait[bool]:
        """It fails for now."""
        return self.fail(Dsn(status, reason))

    def trace_expanded(self, action: str) -> Wait[bool]:
        """Keeps a record of an alias that was expanded, for who asked for NOTIFY=SUCCESS."""
        return trace_append(
            self.process,
            BOUNCE_FLAG_NONE,
            self.request.queue_id,
            self.request.stats,
            self.rcpt,
            self.relay,
            Dsn("2.0.0", "alias expanded", action),
        )


def without_success(notify: int) -> int:
    """What of NOTIFY is handed on: all but SUCCESS."""
    return DSN_NOTIFY_NEVER if notify == DSN_NOTIFY_SUCCESS else notify & ~DSN_NOTIFY_SUCCESS

"""What the access checks set up once per process: tables, lists, restriction classes
(smtpd_check_init).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

from mta.conf.interfaces import mynetworks
from mta.dict.flags import ADDRESS_FLAGS, DICT_FLAG_FOLD_FIX, DICT_FLAG_LOCK
from mta.dict.registry import Dict, dict_open
from mta.lib.domain_list import DomainList
from mta.lib.maps import Maps
from mta.lib.match_parent_style import match_parent_style
from mta.lib.namadr_list import NamadrList
from mta.lib.policy_client import PolicyClient, policy_client_create
from mta.lib.requests import ResolveReply
from mta.lib.string_list import StringList
from mta.smtpd.check_registry import WARN_IF_REJECT, RestrictionList, ValueBuffer
from mta.smtpd.check_reject import DEFER_ALL_ACT, DEFER_IF_PERMIT_ACT
from mta.smtpd.state import Session
from mta.util.ip_match import IpPattern
from mta.util.scalars import split_at_commas

if TYPE_CHECKING:
    from mta.master.server import Process
    from mta.smtpd.check_rbl import RblAnswer

_KEY = "smtpd_check"

#: The stages, and the parameters with their restrictions.
STAGES = {
    "client": "smtpd_client_restrictions",
    "helo": "smtpd_helo_restrictions",
    "sender": "smtpd_sender_restrictions",
    "relay": "smtpd_relay_restrictions",
    "recipient": "smtpd_recipient_restrictions",
    "etrn": "smtpd_etrn_restrictions",
    "data": "smtpd_data_restrictions",
    "end_of_data": "smtpd_end_of_data_restrictions",
}

#: Without one of these the server would relay for anyone.
_REQUIRED = (
    "reject_unauth_destination",
    "defer_unauth_destination",
    "reject",
    "defer",
    "defer_if_permit",
    "check_relay_domains",
)

_MISMATCH = (
    "reject_authenticated_sender_login_mismatch reject_unauthenticated_sender_login_mismatch"
)

_TEMPFAIL = {"defer": DEFER_ALL_ACT, "defer_if_permit": DEFER_IF_PERMIT_ACT}

T = TypeVar("T")


class Cache(Generic[T]):
    """The answers to the latest questions, also of earlier sessions (ctable(3))."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[object, T] = OrderedDict()

    def get(self, key: object) -> T | None:
        """The answer, which becomes the latest, or None."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: object, value: T) -> T:
        """Keeps an answer; the oldest one goes."""
        if len(self._entries) >= self._limit:
            self._entries.popitem(last=False)
        self._entries[key] = value
        return value


class Rules:
    """The access rules of a process."""

    def __init__(self, process: Process) -> None:
        """Logs a fatal error, and raises Fatal, where they make no sense."""
        self.process = process
        conf = process.conf
        self.tables: dict[str, Dict] = {}
        self.policy_clients: dict[str, PolicyClient] = {}
        self.policy_nesting = 0
        self.warned: set[str] = set()  #: what is warned of only once
        self.mynetworks = NamadrList(process, "mynetworks", conf.mynetworks)
        self.mynetworks_host: NamadrList | None = None
        if conf.warn_compat_break_mynetworks_style:
            networks = mynetworks(conf, "host")
            self.mynetworks_host = NamadrList(process, "mynetworks", networks)
        self.relay_domains = DomainList(process, "relay_domains", conf.relay_domains, fatal=True)
        self.perm_mx_networks = self._networks("permit_mx_backup_networks")
        self._open_maps()
        self.parent_style = match_parent_style(process, "smtpd_access_maps")
        self.rbl_reply_maps = self._maps("rbl_reply_maps")
        self.sender_login_maps = self._maps("smtpd_sender_login_maps")
        self.resolved: Cache[ResolveReply] = Cache(100)
        self.rbl: Cache[RblAnswer] = Cache(100)
        self.rbl_patterns: Cache[IpPattern] = Cache(1000)
        self.lists = {
            stage: self.parse(name, getattr(conf, name)) for stage, name in STAGES.items()
        }
        self.classes: dict[str, RestrictionList] = {}
        self._read_classes()
        self.classes["reject_sender_login_mismatch"] = self.parse(
            "reject_sender_login_mismatch", _MISMATCH
        )
        self._require()
        self.local_rewrite_clients = self.parse(
            "local_header_rewrite_clients", conf.local_header_rewrite_clients, policies=False
        )
        self.unk_name_tf_act = self._action("unknown_helo_hostname_tempfail_action")
        self.unk_addr_tf_act = self._action("unknown_address_tempfail_action")
        self.unv_rcpt_tf_act = self._action("unverified_recipient_tempfail_action")
        self.unv_from_tf_act = self._action("unverified_sender_tempfail_action")
        self.perm_log = StringList(
            process, "smtpd_log_access_permit_actions", conf.smtpd_log_access_permit_actions
        )
        self._buffers: dict[str, ValueBuffer] = {}
        self.results: Cache[RestrictionList] = Cache(1000)

    def _networks(self, name: str) -> NamadrList:
        return NamadrList(self.process, name, getattr(self.process.conf, name))

    def _maps(self, name: str, flags: int = ADDRESS_FLAGS) -> Maps:
        return Maps(self.process, name, getattr(self.process.conf, name), flags)

    def _open_maps(self) -> None:
        self.relay_ccerts = self._maps("relay_clientcerts", DICT_FLAG_LOCK | DICT_FLAG_FOLD_FIX)
        self.local_rcpt_maps = self._maps("local_recipient_maps")
        self.send_canon_maps = self._maps("sender_canonical_maps")
        self.rcpt_canon_maps = self._maps("recipient_canonical_maps")
        self.canonical_maps = self._maps("canonical_maps")
        self.virt_alias_maps = self._maps("virtual_alias_maps")
        self.virt_mailbox_maps = self._maps("virtual_mailbox_maps")
        self.relay_rcpt_maps = self._maps("relay_recipient_maps")

    def parse(self, parameter: str, text: str, policies: bool = True) -> RestrictionList:
        """Reads a list and opens what it names: tables, policy servers."""
        rules = RestrictionList(parameter, text)
        last = ""
        for word in rules.words:
            if policies and last.lower() == "check_policy_service":
                if word not in self.policy_clients:
                    self.policy_clients[word] = policy_client_create(self.process, word)
            elif ":" in word and word not in self.tables:
                self.tables[word] = dict_open(
                    self.process, word, flags=ADDRESS_FLAGS, handle=word
                )
            last = word
        return rules

    def _read_classes(self) -> None:
        for name in split_at_commas(self.process.conf.smtpd_restriction_classes):
            value = self.process.conf.lookup_eval(name)
            if not value:
                self.process.log.fatal(f"restriction class `{name}' needs a definition")
            self.classes[name] = self.parse(name, value)

    def _require(self) -> None:
        """Whether the lists for recipients reject anything at all."""
        if not self._has_required("recipient") and not self._has_required("relay"):
            self.process.log.fatal(
                "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, "
                "specify at least one working instance of: "
                f"{', '.join(_REQUIRED[:-1])} or {_REQUIRED[-1]}"
            )

    def _has_required(self, stage: str) -> bool:
        return self._found(self.lists[stage], ())

    def _found(self, rules: RestrictionList, inside: tuple[str, ...]) -> bool:
        words = rules.words
        place = 0
        while place < len(words):
            word = words[place]
            lower = word.lower()
            last = place + 1 >= len(words)
            if lower == WARN_IF_REJECT and not last:
                place += 2
                continue
            if lower == "permit":
                if not last:
                    self.process.log.warning(
                        f"restriction `{words[place + 1]}' after `{word}' is ignored"
                    )
                return False
            if lower in _REQUIRED:
                return True
            if word in self.classes:
                if word in inside:
                    self.contains_itself(word)
                if self._found(self.classes[word], (*inside, word)):
                    return True
            place += 1
        return False

    def value_buffer(self, name: str) -> ValueBuffer:
        """Where a table leaves its results; the empty name is for policy servers."""
        found = self._buffers.get(name)
        if found is None:
            found = self._buffers[name] = ValueBuffer()
        return found

    def contains_itself(self, name: str) -> None:
        """A class without end.  Postfix dies of it by a signal, without a word."""
        self.process.log.fatal(f"restriction class `{name}' contains itself")

    def _action(self, name: str) -> bool:
        value = getattr(self.process.conf, name)
        action = _TEMPFAIL.get(value.lower())
        if action is None:
            self.process.log.fatal(f"bad configuration: {name} = {value}")
        return action


def rules_init(process: Process) -> Rules:
    """Sets the rules of a process up."""
    rules = process.cache[_KEY] = Rules(process)
    return rules


def rules_of(session: Session) -> Rules:
    """The rules of the session's process."""
    rules: Rules = session.process.cache[_KEY]
    return rules

"""Plays the input of Postfix's test program ``smtpd_check``; see DRIVERS.md of its test data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

from mta.conf.conf import PARAMETERS
from mta.dict.errors import TableError
from mta.dict.flags import ADDRESS_FLAGS, DICT_FLAG_FOLD_FIX, DICT_FLAG_LOCK
from mta.dns_lookup import set_dns_rr_filter
from mta.lib.domain_list import DomainList
from mta.lib.maps import Maps
from mta.lib.namadr_list import NamadrList
from mta.lib.requests import (
    RESOLVE_CLASS_ALIAS,
    RESOLVE_CLASS_DEFAULT,
    RESOLVE_CLASS_LOCAL,
    RESOLVE_CLASS_RELAY,
    RESOLVE_CLASS_VIRTUAL,
    RESOLVE_FLAG_FAIL,
    ResolveReply,
    ResolveRequest,
)
from mta.lib.resolve_local import resolve_local
from mta.lib.string_list import StringList
from mta.smtpd import check
from mta.smtpd.check_rules import STAGES, Cache, Rules, rules_of
from mta.smtpd.state import SMTPD_PEER_CODE_OK, SMTPD_PEER_CODE_TEMP
from mta.system import Wait
from tests.access.access_bench import Bench

#: What the test program starts with.
START = {
    "mynetworks": "",
    "mydestination": "$myhostname, localhost.$mydomain, localhost",
    "myhostname": "wzv.porcupine.org",
    "relay_domains": "",
    "local_recipient_maps": "",
    "virtual_alias_maps": "",
    "alias_maps": "",
    "virtual_alias_domains": "",
    "inet_protocols": "ipv4",
    "smtpd_relay_restrictions": "",
    "smtpd_recipient_restrictions": "defer_if_permit",
    "compatibility_level": "2",
    "local_header_rewrite_clients": "permit_inet_interfaces",
}

_MAPS = {
    "virtual_alias_maps": "virt_alias_maps",
    "virtual_mailbox_maps": "virt_mailbox_maps",
    "local_recipient_maps": "local_rcpt_maps",
    "relay_recipient_maps": "relay_rcpt_maps",
    "canonical_maps": "canonical_maps",
    "sender_canonical_maps": "send_canon_maps",
    "recipient_canonical_maps": "rcpt_canon_maps",
    "rbl_reply_maps": "rbl_reply_maps",
}
_RESTRICTIONS = {f"{stage}_restrictions": stage for stage in STAGES}


class Player:
    """Plays one input."""

    def __init__(self, files: Mapping[str, str], zone: str = "") -> None:
        self.bench = Bench(
            base=START,
            zone=zone,
            files={f"/var/spool/postfix/{name}": text for name, text in files.items()},
            addresses=("168.100.189.7",),
            resolver=None,
        )
        self.bench.services.call = self._service  # type: ignore[method-assign]
        self.session = self.bench.session
        self.session.queue_id = "<queue id>"
        self.session.sender = None
        self.session.helo_name = None
        self.session.protocol = "SMTP"
        self.bench.client(self.session, "localhost", "127.0.0.1")
        rules = self.rules
        for stage in STAGES:
            rules.lists[stage] = rules.parse(STAGES[stage], "")

    @property
    def rules(self) -> Rules:
        return rules_of(self.session)

    # -- what the test program has instead of trivial-rewrite(8)

    def _service(self, service: str, request: Any) -> Wait[Any]:
        if not isinstance(request, ResolveRequest):
            return request.address
        try:
            return (yield from self._resolve(request))
        except TableError:
            return ResolveReply("", "", request.address, RESOLVE_FLAG_FAIL)

    def _resolve(self, request: ResolveRequest) -> Wait[ResolveReply]:
        process = self.bench.process
        domain = request.address.rpartition("@")[2]
        reply = ResolveReply("smtp", domain, request.address, RESOLVE_CLASS_DEFAULT)
        if (yield from resolve_local(process, domain)):
            return reply._replace(transport="local", flags=RESOLVE_CLASS_LOCAL)
        conf = process.conf
        aliases = StringList(process, "virtual_alias_domains", conf.virtual_alias_domains)
        if (yield from aliases.match(domain)):
            return reply._replace(
                transport="error", nexthop="user unknown", flags=RESOLVE_CLASS_ALIAS
            )
        mailboxes = StringList(process, "virtual_mailbox_domains", conf.virtual_mailbox_domains)
        if (yield from mailboxes.match(domain)):
            return reply._replace(transport="virtual", flags=RESOLVE_CLASS_VIRTUAL)
        if (yield from self.rules.relay_domains.match(domain)):
            return reply._replace(transport="relay", flags=RESOLVE_CLASS_RELAY)
        return reply

    # -- commands

    def play(self, lines: list[str]) -> Iterator[str]:
        """The output."""
        for line in lines:
            yield f">>> {line}"
            words = line.split()
            if not words or line.startswith("#"):
                continue
            reply = self._command(words)
            for text in self.bench.new_log():
                yield f"smtpd_check: {text}"
            yield reply or "OK"

    def _command(self, words: list[str]) -> str | None:
        name = words[0].lower()
        if len(words) == 1:
            if name == "rewrite":
                return self._run(check.check_rewrite(self.session))
            if name == "flush_dnsxl_cache":
                self.rules.rbl = Cache(100)
                return None
        if len(words) in (3, 4) and name == "client":
            return self._client(words)
        if len(words) == 2:
            return self._pair(name, words[1])
        return "bad command"

    def _run(self, task: Wait[Any]) -> str | None:
        reply = self.bench.run(task)
        session = self.session
        session.discard = False
        session.saved_flags = 0
        return None if reply is None else str(reply)

    def _client(self, words: list[str]) -> str | None:
        session = self.session
        session.where = "CONNECT"
        self.bench.client(session, words[1], words[2])
        code = SMTPD_PEER_CODE_TEMP if words[1] == "unknown" else SMTPD_PEER_CODE_OK
        session.name_status = session.reverse_name_status = (
            int(words[3]) if len(words) == 4 else code
        )
        return self._run(check.check_client(session))

    def _pair(self, name: str, value: str) -> str | None:
        session = self.session
        if name == "helo":
            session.where = "HELO"
            reply = self._run(check.check_helo(session, value))
            session.helo_name = value
            return reply
        if name == "mail":
            session.where = "MAIL"
            session.sender = _trim(value)
            return self._run(check.check_mail(session, session.sender))
        if name == "rcpt":
            session.where = "RCPT"
            return self._run(check.check_rcpt(session, _trim(value)))
        if name == "fingerprint":
            self.session.tls_context = cast(
                Any,
                SimpleNamespace(
                    is_present=True,
                    is_trusted=False,
                    peer_CN="",
                    issuer_CN="",
                    peer_cert_fprint=value,
                    peer_pkey_fprint=value,
                ),
            )
            return None
        if name == "msg_verbose":
            return None
        if name == "restriction_class":
            parts = value.split(",", 1)
            self.rules.classes[parts[0]] = self.rules.parse(parts[0], parts[1])
            return None
        if name in _RESTRICTIONS:
            stage = _RESTRICTIONS[name]
            self.rules.lists[stage] = self.rules.parse(STAGES[stage], value)
            return None
        return self._parameter(name, value)

    def _parameter(self, name: str, value: str) -> str | None:
        parameter = PARAMETERS.get(name)
        if parameter is None:
            return "bad command"
        if parameter.kind in ("bool", "nbool"):
            value = "no" if value == "0" else "yes"
        process, rules = self.bench.process, self.rules
        process.conf.update(name, value)
        rules.resolved = Cache(100)
        process.cache.pop("mydestination", None)
        process.cache.pop("own_inet_addr", None)
        process.cache.pop(ResolveRequest, None)
        if name in _MAPS:
            setattr(rules, _MAPS[name], Maps(process, name, value, ADDRESS_FLAGS))
        elif name == "mynetworks":
            rules.mynetworks = NamadrList(process, name, value)
        elif name == "relay_domains":
            rules.relay_domains = DomainList(process, name, value)
        elif name == "permit_mx_backup_networks":
            rules.perm_mx_networks = NamadrList(process, name, value)
        elif name == "relay_clientcerts":
            flags = DICT_FLAG_LOCK | DICT_FLAG_FOLD_FIX
            rules.relay_ccerts = Maps(process, name, value, flags)
        elif name == "smtpd_dns_reply_filter":
            set_dns_rr_filter(process, name, value)
        elif name == "smtpd_log_access_permit_actions":
            rules.perm_log = StringList(process, name, value)
        elif name == "local_header_rewrite_clients":
            rules.local_rewrite_clients = rules.parse(name, value, policies=False)
        return None


def _trim(address: str) -> str:
    return address[1:].removesuffix(">") if address.startswith("<") else address

"""What one process of smtp(8) or lmtp(8) knows from its configuration (pre_init, post_init)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.conf.conf import LMTP_NAMES
from mta.dict.flags import ADDRESS_FLAGS, DICT_FLAG_FOLD_FIX, DICT_FLAG_LOCK
from mta.dict.registry import Dict, dict_open
from mta.dns_lookup import RES_DEFNAMES, RES_DNSRCH, set_dns_rr_filter
from mta.lib.class_mask import class_mask
from mta.lib.dsn_filter import set_dsn_filter
from mta.lib.ext_prop import EXT_PROP_GENERIC, ext_prop_mask
from mta.lib.inet_proto import inet_families
from mta.lib.mail_error import MAIL_ERROR_DATA, MAIL_ERROR_MASKS, MAIL_ERROR_PROTOCOL
from mta.lib.maps import Maps
from mta.lib.string_list import StringList
from mta.util.name_mask import NameMaskError, name_mask

if TYPE_CHECKING:
    from mta.master.server import Process
    from mta.smtp.sasl import SmtpSasl
    from mta.smtp.tls import ClientTls

SMTP_DNS_DISABLED = 0
SMTP_DNS_ENABLED = 1
SMTP_DNS_DNSSEC = 2
_DNS_SUPPORT = {
    "disabled": SMTP_DNS_DISABLED,
    "enabled": SMTP_DNS_ENABLED,
    "dnssec": SMTP_DNS_DNSSEC,
}

SMTP_HOST_FLAG_DNS = 1 << 0
SMTP_HOST_FLAG_NATIVE = 1 << 1
_HOST_LOOKUP = {"dns": SMTP_HOST_FLAG_DNS, "native": SMTP_HOST_FLAG_NATIVE}
_DNS_OPTIONS = {"res_defnames": RES_DEFNAMES, "res_dnsrch": RES_DNSRCH}

#: What a delivery does for address verification: it stops after RCPT, or after DATA.
_VERIFY_TARGETS = ("rcpt", "data")
_FAMILIES = ("ipv6", "ipv4", "any")


class Client:
    """One process: its tables and settings.  ``smtp_mode`` is False in lmtp(8).

    May raise Fatal, as the daemon does before its first client.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.log = process.log
        self.conf = conf = process.conf
        self.smtp_mode = process.program == "smtp"
        self.mode = "SMTP" if self.smtp_mode else "LMTP"
        self.sasl: SmtpSasl | None = None  #: None: smtp_sasl_auth_enable is off
        self.tls: ClientTls | None = None  #: None: the configuration speaks of no TLS
        self.reuse_count_limit = conf.smtp_connection_reuse_count_limit
        self.line_limit = conf.line_length_limit
        self.utf8 = bool(conf.smtputf8_enable)
        self.deadline = bool(conf.smtp_per_record_deadline)
        self.quote_envelope = bool(conf.smtp_quote_rfc821_envelope)
        self.skip_quit_response = bool(conf.smtp_skip_quit_response)
        self.send_xforward = bool(conf.smtp_send_xforward_command)
        self.line_length = conf.smtp_line_length_limit
        if self.line_length == 1:  # it would fold for ever
            self.log.warning(f"not implemented: {self.name('smtp_line_length_limit')} = 1")
            self.line_length = 2
        #: Time limits for replies, by the state of the receiver (see mta.smtp.proto).
        self.timeouts = (
            conf.smtp_xforward_timeout,
            conf.smtp_xforward_timeout,
            conf.smtp_mail_timeout,
            conf.smtp_rcpt_timeout,
            conf.smtp_data_init_timeout,
            conf.smtp_data_done_timeout,
            conf.smtp_rset_timeout,
            conf.smtp_rset_timeout,
            conf.smtp_quit_timeout,
        )
        self._engines()
        self._tables()
        self._families()
        self._dns()
        self._notices()
        target = conf.smtp_address_verify_target
        if target.lower() not in _VERIFY_TARGETS:
            self.log.fatal(f'bad protocol stage: "smtp_address_verify_target = {target}"')
        self.verify_at_rcpt = target.lower() == "rcpt"

    def name(self, parameter: str) -> str:
        """The name of an ``smtp_`` parameter in this process: lmtp(8) has others."""
        if self.smtp_mode:
            return parameter
        name = LMTP_NAMES.get(parameter, parameter)
        return name if isinstance(name, str) else parameter

    # -- engines ------------------------------------------------------------------------------

    def _engines(self) -> None:
        conf = self.conf
        if conf.smtp_sasl_auth_enable:
            from mta.smtp.sasl import SmtpSasl

            self.sasl = SmtpSasl(self)
        if conf.smtp_tls_security_level.lower() not in ("", "none") or any(
            (
                not conf.smtp_tls_security_level and (conf.smtp_use_tls or conf.smtp_enforce_tls),
                conf.smtp_tls_per_site,
                conf.smtp_tls_policy_maps,
                conf.smtp_tls_wrappermode,
            )
        ):
            from mta.smtp.tls import client_tls  # OpenSSL takes its time

            self.tls = client_tls(self)

    # -- tables -------------------------------------------------------------------------------

    def _maps(self, parameter: str, text: str, flags: int) -> Maps | None:
        return Maps(self.process, self.name(parameter), text, flags) if text else None

    def _tables(self) -> None:
        conf, process = self.conf, self.process
        self.cache_destinations = (
            StringList(
                process,
                "smtp_connection_cache_destinations",
                conf.smtp_connection_cache_destinations,
            )
            if conf.smtp_connection_cache_destinations
            else None
        )
        self.ehlo_discard_maps = self._maps(
            "smtp_discard_ehlo_keyword_address_maps",
            conf.smtp_discard_ehlo_keyword_address_maps,
            DICT_FLAG_LOCK,
        )
        self.pix_maps = self._maps(
            "smtp_pix_workaround_maps", conf.smtp_pix_workaround_maps, DICT_FLAG_LOCK
        )
        self.propagate = bool(ext_prop_mask(process) & EXT_PROP_GENERIC)
        self.generic_maps = self._maps("smtp_generic_maps", conf.smtp_generic_maps, ADDRESS_FLAGS)
        self.header_checks = self._maps(
            "smtp_header_checks", conf.smtp_header_checks, DICT_FLAG_LOCK
        )
        self.mime_checks = self._maps(
            "smtp_mime_header_checks", conf.smtp_mime_header_checks, DICT_FLAG_LOCK
        )
        self.nested_checks = self._maps(
            "smtp_nested_header_checks", conf.smtp_nested_header_checks, DICT_FLAG_LOCK
        )
        self.body_checks = self._maps("smtp_body_checks", conf.smtp_body_checks, DICT_FLAG_LOCK)
        self.has_checks = any(
            (self.header_checks, self.mime_checks, self.nested_checks, self.body_checks)
        )
        self.reply_filter: Dict | None = None
        if conf.smtp_reply_filter:
            self.reply_filter = dict_open(
                process, conf.smtp_reply_filter, flags=DICT_FLAG_LOCK | DICT_FLAG_FOLD_FIX
            )

    # -- names and addresses ------------------------------------------------------------------

    def _families(self) -> None:
        preference = self.conf.smtp_address_preference
        if preference.lower() not in _FAMILIES:
            self.log.fatal(f"bad {self.name('smtp_address_preference')} value: {preference}")
        #: The type of address records that come first, ``""`` for no preference.
        self.first_type = {"ipv6": "AAAA", "ipv4": "A", "any": ""}[preference.lower()]
        self.families = inet_families(self.conf.inet_protocols)
        #: In the order in which they are asked for.
        self.address_types = tuple(
            name for family, name in ((4, "A"), (6, "AAAA")) if family in self.families
        )

    def _dns(self) -> None:
        conf = self.conf
        if conf.smtp_dns_reply_filter:
            set_dns_rr_filter(
                self.process, self.name("smtp_dns_reply_filter"), conf.smtp_dns_reply_filter
            )
        set_dsn_filter(
            self.process, "smtp_delivery_status_filter", conf.smtp_delivery_status_filter
        )
        support = conf.smtp_dns_support_level
        if not support:
            self.dns_support = SMTP_DNS_DISABLED if conf.disable_dns_lookups else SMTP_DNS_ENABLED
        elif support.lower() in _DNS_SUPPORT:
            self.dns_support = _DNS_SUPPORT[support.lower()]
        else:
            self.log.fatal(f'invalid {self.name("smtp_dns_support_level")}: "{support}"')
        if self.dns_support == SMTP_DNS_DISABLED:
            self.host_lookup = SMTP_HOST_FLAG_NATIVE
        else:
            name = self.name("smtp_host_lookup")
            self.host_lookup = class_mask(self.process, name, _HOST_LOOKUP, conf.smtp_host_lookup)
        name = self.name("smtp_dns_resolver_options")
        self.dns_options = class_mask(
            self.process, name, _DNS_OPTIONS, conf.smtp_dns_resolver_options
        )
        #: Which addresses are our own, as far as they were asked for.
        self.own_addresses: dict[str, bool] = {}
        self.dice = self.process.system.dice("smtp addresses")

    # -- notices to the postmaster ------------------------------------------------------------

    def _notices(self) -> None:
        try:
            mask = name_mask("notify_classes", MAIL_ERROR_MASKS, self.conf.notify_classes)
        except NameMaskError:
            mask = MAIL_ERROR_PROTOCOL  # fatal at the end of the first session
        self.keeps_history = bool(mask & (MAIL_ERROR_DATA | MAIL_ERROR_PROTOCOL))

    def notify_mask(self) -> int:
        """The bits of ``notify_classes``.  An unknown name is fatal."""
        classes = self.conf.notify_classes
        return class_mask(self.process, "notify_classes", MAIL_ERROR_MASKS, classes)

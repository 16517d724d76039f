"""What an smtpd(8) process sets up before its first client (pre_jail_init, post_jail_init)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from mta.dict.flags import DICT_FLAG_FOLD_FIX, DICT_FLAG_LOCK
from mta.dict.registry import Dict, dict_open
from mta.dns_lookup import set_dns_rr_filter
from mta.lib.class_mask import class_mask
from mta.lib.input_transp import INPUT_TRANSP_MILTER, input_transp_mask
from mta.lib.mail_error import MAIL_ERROR_MASKS
from mta.lib.maps import Maps
from mta.lib.namadr_list import NamadrList
from mta.lib.string_list import StringList
from mta.lib.xsasl import XsaslServerImpl, xsasl_server_init
from mta.smtpd import tls
from mta.smtpd.destination import Destination
from mta.smtpd.milter_session import milter_create
from mta.smtpd.state import Session
from mta.system import Wait
from mta.tls.levels import server_level
from mta.util.name_mask import NameMaskError

if TYPE_CHECKING:
    from mta.master.server import Process

#: Opens a message of ``sendmail -bs``.
StandAlone = Callable[[Session], Wait[Destination]]

SMTPD_PROXY_FLAG_SPEED_ADJUST = 1 << 0
_PROXY_OPTIONS = {"speed_adjust": SMTPD_PROXY_FLAG_SPEED_ADJUST}


class Checks(Protocol):
    """The access checks (:mod:`mta.smtpd.check`).  Each gives None, or the whole reply."""

    def check_init(self, process: Process) -> None:
        """Opens tables and parses restrictions; Fatal where they make no sense."""

    def check_client(self, session: Session) -> Wait[str | None]:
        """smtpd_client_restrictions."""

    def check_helo(self, session: Session, name: str) -> Wait[str | None]:
        """smtpd_helo_restrictions."""

    def check_mail(self, session: Session, sender: str) -> Wait[str | None]:
        """smtpd_sender_restrictions."""

    def check_rcpt(self, session: Session, recipient: str) -> Wait[str | None]:
        """All that is delayed, then smtpd_relay_restrictions, smtpd_recipient_restrictions."""

    def check_etrn(self, session: Session, domain: str) -> Wait[str | None]:
        """smtpd_etrn_restrictions."""

    def check_data(self, session: Session) -> Wait[str | None]:
        """smtpd_data_restrictions."""

    def check_eod(self, session: Session) -> Wait[str | None]:
        """smtpd_end_of_data_restrictions."""

    def check_size(self, session: Session, size: int) -> Wait[str | None]:
        """The size that MAIL FROM announces."""

    def check_queue(self, session: Session) -> Wait[str | None]:
        """queue_minfree."""

    def check_rewrite(self, session: Session) -> Wait[str | None]:
        """Sets ``rewrite_context``."""

    def check_addr(self, session: Session, address: str, smtputf8: bool) -> Wait[str | None]:
        """Whether an address can be resolved at all."""


class Server:
    """The settings of a process, in the order in which Postfix makes them."""

    def __init__(
        self, process: Process, checks: Checks | None = None, *, keys: bool = True
    ) -> None:
        """Logs a fatal error, and raises Fatal, where a setting makes no sense.  ``checks`` stands
        for :mod:`mta.smtpd.check`; ``keys`` tells whether the process may read keys, without which
        there is no TLS.
        """
        self.process = process
        self._keys = keys
        conf = process.conf
        self.checks: Checks = checks if checks is not None else _access_checks()
        self.noop_commands = StringList(process, "smtpd_noop_commands", conf.smtpd_noop_commands)
        self.forbidden_commands = StringList(
            process, "smtpd_forbidden_commands", conf.smtpd_forbidden_commands
        )
        self.verp_clients = self._hosts("smtpd_authorized_verp_clients")
        self.xclient_hosts = self._hosts("smtpd_authorized_xclient_hosts")
        self.xforward_hosts = self._hosts("smtpd_authorized_xforward_hosts")
        self.hogger_list = NamadrList(
            process,
            "smtpd_client_event_limit_exceptions",
            conf.smtpd_client_event_limit_exceptions,
        )
        self.checks.check_init(process)
        self._debug_peer()
        self.sasl_type = self._sasl()
        self.sasl_exceptions: NamadrList | None = None
        if conf.smtpd_sasl_exceptions_networks:
            self.sasl_exceptions = self._hosts("smtpd_sasl_exceptions_networks")
        self.command_filter: Dict | None = None
        if conf.smtpd_command_filter:
            self.command_filter = dict_open(
                process, conf.smtpd_command_filter, flags=DICT_FLAG_LOCK | DICT_FLAG_FOLD_FIX
            )
        self._tls()
        self.ehlo_discard_maps: Maps | None = None
        if conf.smtpd_discard_ehlo_keyword_address_maps:
            self.ehlo_discard_maps = Maps(
                process,
                "smtpd_discard_ehlo_keyword_address_maps",
                conf.smtpd_discard_ehlo_keyword_address_maps,
                DICT_FLAG_LOCK,
            )
        if conf.smtpd_dns_reply_filter:
            set_dns_rr_filter(process, "smtpd_dns_reply_filter", conf.smtpd_dns_reply_filter)
        self.notify_mask = self._mask("notify_classes", MAIL_ERROR_MASKS)
        self._transparency()
        self._limits()

    def _hosts(self, name: str) -> NamadrList:
        return NamadrList(self.process, name, getattr(self.process.conf, name), False)

    def _mask(self, name: str, table: dict[str, int]) -> int:
        return class_mask(self.process, name, table, getattr(self.process.conf, name))

    def _debug_peer(self) -> None:
        """Peers for which Postfix logs every step."""
        if self.process.conf.debug_peer_list:
            self.process.log.warning(
                "verbose logging for peers is not implemented: debug_peer_list, debug_peer_level"
            )

    def _sasl(self) -> XsaslServerImpl | None:
        process = self.process
        conf = process.conf
        if not conf.smtpd_sasl_auth_enable:
            return None
        found = xsasl_server_init(process, conf.smtpd_sasl_type, conf.smtpd_sasl_path)
        if found is None:
            process.log.fatal("SASL per-process initialization failed")
        return found

    def _tls(self) -> None:
        """``use_tls``, ``enforce_tls``, ``tls_auth_only``, and the engine."""
        process = self.process
        conf = process.conf
        self.wrapper_mode: bool = conf.smtpd_tls_wrappermode
        self.use_tls: bool = conf.smtpd_use_tls
        self.enforce_tls: bool = conf.smtpd_enforce_tls
        level = conf.smtpd_tls_security_level
        if not self.wrapper_mode and level:
            self.use_tls, self.enforce_tls = server_level(process, "smtpd_tls_security_level")
        self.enforce_tls = self.wrapper_mode or self.enforce_tls
        self.tls_auth_only: bool = conf.smtpd_tls_auth_only or self.enforce_tls
        self.use_tls = self.use_tls or self.enforce_tls
        self.tls: tls.TlsServer | None = None
        if self.use_tls and self._keys:
            self.tls = tls.tls_server_init(process, self)

    def without_tls(self) -> None:
        """No TLS, as with ``sendmail -bs``."""
        self.use_tls = self.enforce_tls = self.tls_auth_only = False

    def _transparency(self) -> None:
        """``receive_override_options``, the before-queue filter's options, milters."""
        process = self.process
        conf = process.conf
        try:
            self.input_transp_mask = input_transp_mask(
                "receive_override_options", conf.receive_override_options
            )
        except NameMaskError as error:
            process.log.fatal(error.args[0])
        self.proxy_options = 0
        if conf.smtpd_proxy_filter:
            self.proxy_options = self._mask("smtpd_proxy_options", _PROXY_OPTIONS)
        self.milter_factory = None
        if not self.input_transp_mask & INPUT_TRANSP_MILTER:
            self.milter_factory = milter_create(process)
            if self.milter_factory is None:
                self.input_transp_mask |= INPUT_TRANSP_MILTER

    def _limits(self) -> None:
        process = self.process
        conf = process.conf
        minimum, size = conf.queue_minfree, conf.message_size_limit
        if minimum > 0 and size > 0 and minimum / 1.5 < size:
            process.log.warning(
                f"queue_minfree({minimum}) should be at least 1.5*message_size_limit({size})"
            )
        self.anvil = bool(
            conf.smtpd_client_connection_rate_limit
            or conf.smtpd_client_connection_count_limit
            or conf.smtpd_client_message_rate_limit
            or conf.smtpd_client_recipient_rate_limit
            or conf.smtpd_client_new_tls_session_rate_limit
        )


def _access_checks() -> Any:
    from mta.smtpd import check

    return check

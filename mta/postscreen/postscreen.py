"""postscreen(8) - keeps zombies away from the real servers.

NAME
    postscreen - Postfix zombie blocker

DESCRIPTION
    One process takes all connections from the network.  A client that it does not know has to pass
    tests: does it wait for its turn (the *pregreet* test), what do lists in the DNS say of it, and
    after that, where the configuration asks for it, how does it speak.  A client that passes is
    given to smtpd(8) and remembered for some time; the tests after the greeting can only be
    remembered, since the real server cannot take over in the middle.  A client that fails is told
    that no recipient is wanted, or has to go.

    Access lists (``postscreen_access_list``) make clients black or white without tests.

DIAGNOSTICS
    ``CONNECT from``, ``PASS NEW``, ``PASS OLD``, ``WHITELISTED``, ``BLACKLISTED``,
    ``WHITELIST VETO``, ``PREGREET``, ``DNSBL rank``, ``BARE NEWLINE``, ``NON-SMTP COMMAND``,
    ``COMMAND PIPELINING``, ``COMMAND TIME LIMIT``, ``COMMAND COUNT LIMIT``,
    ``COMMAND LENGTH LIMIT``, ``HANGUP``, ``NOQUEUE: reject:``, ``DISCONNECT``.

BUGS
    Averages of how long tables take are not known, and not complained of.

CONFIGURATION PARAMETERS
    Who is tested: postscreen_access_list, postscreen_blacklist_action,
    postscreen_whitelist_interfaces, postscreen_upstream_proxy_protocol,
    postscreen_upstream_proxy_timeout
    Before the greeting: postscreen_greet_action, postscreen_greet_banner, postscreen_greet_ttl,
    postscreen_greet_wait, postscreen_dnsbl_action, postscreen_dnsbl_reply_map,
    postscreen_dnsbl_sites, postscreen_dnsbl_threshold, postscreen_dnsbl_timeout,
    postscreen_dnsbl_ttl, postscreen_dnsbl_whitelist_threshold, dnsblog_service_name
    After it: postscreen_bare_newline_action, postscreen_bare_newline_enable,
    postscreen_bare_newline_ttl, postscreen_non_smtp_command_action,
    postscreen_non_smtp_command_enable, postscreen_non_smtp_command_ttl,
    postscreen_forbidden_commands, postscreen_pipelining_action, postscreen_pipelining_enable,
    postscreen_pipelining_ttl
    The dialogue: postscreen_command_count_limit, postscreen_command_filter,
    postscreen_command_time_limit, postscreen_disable_vrfy_command,
    postscreen_discard_ehlo_keywords, postscreen_discard_ehlo_keyword_address_maps,
    postscreen_expansion_filter, postscreen_helo_required, postscreen_reject_footer, smtpd_banner,
    line_length_limit, soft_bounce, disable_vrfy_command, message_size_limit, smtputf8_enable,
    myhostname
    TLS: postscreen_tls_security_level, postscreen_use_tls, postscreen_enforce_tls,
    tlsproxy_service_name
    The cache: postscreen_cache_map, postscreen_cache_retention_time,
    postscreen_cache_cleanup_interval
    Limits: postscreen_client_connection_count_limit, postscreen_pre_queue_limit,
    postscreen_post_queue_limit, delay_logging_resolution_limit, smtpd_service_name,
    stress, inet_protocols
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mta.dict.registry import dict_changed_name
from mta.master.server import Program, program
from mta.postscreen.screen import Screen
from mta.system import Stream, Wait

if TYPE_CHECKING:
    from mta.master.server import Process


@program("postscreen")
class Postscreen(Program):
    """The process that takes all connections."""

    kind: ClassVar[Literal["single", "multi"]] = "multi"
    streams = True
    events = True

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.screen = Screen(process)

    def serve(self, request: Stream) -> Wait[None]:
        """Serves a client."""
        changed = dict_changed_name(self.process)
        if changed is not None:
            self.process.log.info(f"table {changed} has changed - finishing in the background")
            self.process.cache.clear()
            self.screen = Screen(self.process)
        yield from self.screen.serve(request)

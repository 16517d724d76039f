"""trivial-rewrite(8) - the address rewriting and resolving service.

DESCRIPTION
    ``rewrite``: an address (external form) in standard form, in the context ``local`` (completed
    with ``$myorigin``
    and ``$mydomain``) or ``remote`` (``$remote_header_rewrite_domain``).
    ``resolve``: an address (internal form) to transport, next hop, recipient, and class; ``verify``
    does the same with the ``address_verify_*`` parameters, for probes.

DIAGNOSTICS
    ``... lookup failure``, ``do not list domain ... in BOTH ... and ...``, ``null transport is not
    allowed``.

CONFIGURATION PARAMETERS
    resolve_dequoted_address, resolve_null_domain, resolve_numeric_domain, allow_min_user, myorigin,
    allow_percent_hack, append_at_myorigin, append_dot_mydomain, recipient_delimiter, swap_bangpath,
    remote_header_rewrite_domain, local_transport, virtual_transport, relay_transport,
    default_transport, parent_domain_matches_subdomains, relayhost, transport_maps,
    sender_dependent_relayhost_maps, sender_dependent_default_transport_maps,
    address_verify_local_transport, address_verify_virtual_transport,
    address_verify_relay_transport, address_verify_default_transport, address_verify_relayhost,
    address_verify_sender_dependent_relayhost_maps, address_verify_transport_maps,
    address_verify_sender_dependent_default_transport_maps, empty_address_recipient,
    empty_address_relayhost_maps_lookup_key, empty_address_default_transport_maps_lookup_key,
    relocated_maps, show_user_unknown_table_name, helpful_warnings, virtual_alias_domains,
    virtual_mailbox_domains, relay_domains, mydestination, config_directory, mydomain, myhostname,
    smtputf8_enable
"""

from __future__ import annotations

from typing import ClassVar, Literal

from mta.dict.errors import TableError
from mta.dict.flags import ADDRESS_FLAGS, DICT_FLAG_NO_REGSUB
from mta.lib.domain_list import DomainList
from mta.lib.maps import Maps
from mta.lib.requests import (
    RESOLVE_CLASS_ALIAS,
    RESOLVE_CLASS_DEFAULT,
    RESOLVE_CLASS_LOCAL,
    RESOLVE_CLASS_RELAY,
    RESOLVE_CLASS_VIRTUAL,
    REWRITE_LOCAL,
    ResolveReply,
    ResolveRequest,
    RewriteRequest,
)
from mta.lib.resolve_local import resolve_local
from mta.lib.string_list import StringList
from mta.master.server import Process, Program, program
from mta.system import Wait
from mta.trivial_rewrite.resolve import Failed, Settings, resolve_address
from mta.trivial_rewrite.rewrite import Context, rewrite_address
from mta.trivial_rewrite.transport import TransportMaps


@program("trivial-rewrite")
class TrivialRewrite(Program):
    """The service's process, with its tables open."""

    kind: ClassVar[Literal["single", "multi"]] = "multi"

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        conf = process.conf
        self.local_context = Context(conf.myorigin, conf.mydomain)
        remote = conf.remote_header_rewrite_domain
        self.remote_context = Context(remote, remote)
        self.lists: dict[str, StringList | DomainList] = {}
        if conf.virtual_alias_domains:
            self.lists["virtual_alias_domains"] = StringList(
                process, "virtual_alias_domains", conf.virtual_alias_domains
            )
        if conf.virtual_mailbox_domains:
            self.lists["virtual_mailbox_domains"] = StringList(
                process, "virtual_mailbox_domains", conf.virtual_mailbox_domains
            )
        if conf.relay_domains:
            self.lists["relay_domains"] = DomainList(process, "relay_domains", conf.relay_domains)
        self.relocated_maps = Maps(process, "relocated_maps", conf.relocated_maps)
        self._primed = False
        self.regular = self._settings()
        self.verify = self._settings(verify=True)

    def _settings(self, verify: bool = False) -> Settings:
        """What addresses are resolved by; ``verify``: for probes of address verification."""
        process = self.process

        def value(name: str) -> tuple[str, str]:
            if verify:
                name = f"address_verify_{name}"
            return name, str(getattr(process.conf, name))

        def maps(name: str) -> tuple[str, Maps]:
            name, spec = value(name)
            return name, Maps(process, name, spec, ADDRESS_FLAGS | DICT_FLAG_NO_REGSUB)

        title, spec = value("transport_maps")
        return Settings(
            value("local_transport"),
            value("virtual_transport"),
            value("relay_transport"),
            value("default_transport"),
            maps("sender_dependent_default_transport_maps"),
            value("relayhost")[1],
            maps("sender_dependent_relayhost_maps"),
            TransportMaps(process, title, spec) if spec else None,
        )

    def serve(self, request: RewriteRequest | ResolveRequest) -> Wait[str | ResolveReply]:
        """Answers one request."""
        if not self._primed:
            self._primed = True
            for settings in (self.regular, self.verify):
                if settings.transport_maps is not None:
                    yield from settings.transport_maps.prime()
        if isinstance(request, RewriteRequest):
            local = request.context == REWRITE_LOCAL
            context = self.local_context if local else self.remote_context
            return (yield from rewrite_address(self, context, request.address))
        settings = self.verify if request.verify else self.regular
        reply = yield from resolve_address(self, settings, request.sender, request.address)
        if self.process.system.decisions is not None:
            self.process.decide("resolve", address=request.address, reply=reply._asdict())
        return reply

    def in_list(self, name: str, domain: str, quiet: bool = False) -> Wait[bool]:
        """Whether a domain is in a list of domains.  A lookup failure is logged and raises
        Failed; ``quiet`` takes it for no.
        """
        names = self.lists.get(name)
        if names is None:
            return False
        try:
            return (yield from names.match(domain))
        except TableError as error:
            if quiet:
                return False
            self.process.log.warning(f"{name} lookup failure")
            raise Failed(name) from error

    def resolve_class(self, domain: str) -> Wait[int]:
        """The address class of a domain, for warnings (resolve_class)."""
        try:
            if (yield from resolve_local(self.process, domain)):
                return RESOLVE_CLASS_LOCAL
            for name, kind in (
                ("virtual_alias_domains", RESOLVE_CLASS_ALIAS),
                ("virtual_mailbox_domains", RESOLVE_CLASS_VIRTUAL),
                ("relay_domains", RESOLVE_CLASS_RELAY),
            ):
                if (yield from self.in_list(name, domain)):
                    return kind
        except (TableError, Failed):
            pass
        return RESOLVE_CLASS_DEFAULT

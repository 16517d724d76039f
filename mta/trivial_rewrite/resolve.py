"""Where an address goes: transport, next hop, recipient, address class (resolve.c)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mta.dict.errors import TableError
from mta.lib.mail_addr_find import mail_addr_find
from mta.lib.maps import Maps
from mta.lib.midna_warn import midna_warn
from mta.lib.requests import (
    RESOLVE_CLASS_ALIAS,
    RESOLVE_CLASS_DEFAULT,
    RESOLVE_CLASS_LOCAL,
    RESOLVE_CLASS_RELAY,
    RESOLVE_CLASS_VIRTUAL,
    RESOLVE_FLAG_ERROR,
    RESOLVE_FLAG_FAIL,
    RESOLVE_FLAG_ROUTED,
    ResolveReply,
)
from mta.lib.resolve_local import resolve_local
from mta.system import Wait
from mta.trivial_rewrite.rewrite import rewrite_tree
from mta.trivial_rewrite.transport import Route, TransportMaps
from mta.util.midna_domain import valid_utf8_hostname
from mta.util.valid_hostname import valid_hostaddr, valid_mailhost_literal
from mta.wire.quote import quote_822_local
from mta.wire.tok822 import (
    TOK822_QSTRING,
    Token,
    tok822_internalize,
    tok822_rfind_type,
    tok822_scan,
    tok822_scan_addr,
)

if TYPE_CHECKING:
    from mta.trivial_rewrite.trivial_rewrite import TrivialRewrite

#: Addresses that the resolver's loop leaves alone: dot-atoms without routing operators.
PLAIN = re.compile(
    r"[A-Za-z0-9_+=$&'*/?^`{}~#-]+(?:\.[A-Za-z0-9_+=$&'*/?^`{}~#-]+)*"
    r"@((?:[A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+)\Z"
)
_OPERATOR = re.compile("[@!%]")


class Settings(NamedTuple):
    """The parameters of one kind of resolution: (name, value) or (name, tables)."""

    local_transport: tuple[str, str]
    virtual_transport: tuple[str, str]
    relay_transport: tuple[str, str]
    default_transport: tuple[str, str]
    sender_default_transport: tuple[str, Maps]
    relayhost: str
    sender_relayhost: tuple[str, Maps]
    transport_maps: TransportMaps | None


#: Transport and next hop in the answer for an address that makes no sense.
_NOWHERE = ("CHANNEL NOT UPDATED", "NEXTHOP NOT UPDATED")


class Failed(Exception):
    """The address cannot be resolved for now; the flags so far."""


def resolve_address(
    service: TrivialRewrite, settings: Settings, sender: str, address: str
) -> Wait[ResolveReply]:
    """Resolves an address in internal form."""
    try:
        recipient, domain, is_local, flags = yield from _normal_form(service, address)
        if flags & RESOLVE_FLAG_ERROR:
            return ResolveReply(*_NOWHERE, recipient, flags | RESOLVE_CLASS_DEFAULT)
        match = _OPERATOR.search(recipient)
        if match is None or recipient[match.end() :] != domain:
            flags |= RESOLVE_FLAG_ROUTED
        if is_local:
            yield from _warn_twice(service, domain, "mydestination", alias=True, mailbox=True)
            route = Route(settings.local_transport[1], domain)
            blame, kind = settings.local_transport[0], RESOLVE_CLASS_LOCAL
        else:
            route, blame, kind = yield from _remote(service, settings, sender, domain)
        flags |= kind
        route = _explicit_nexthop(service, route, blame)
        route = yield from _overrides(service, settings, recipient, domain, route, kind)
    except Failed:
        return ResolveReply("", "", address, RESOLVE_FLAG_FAIL)
    if not service.process.conf.allow_min_user and recipient.startswith("-"):
        flags |= RESOLVE_FLAG_ERROR
    return ResolveReply(route.channel, route.nexthop, recipient, flags)


def _fail(service: TrivialRewrite, parameter: str) -> Failed:
    service.process.log.warning(f"{parameter} lookup failure")
    return Failed(parameter)


def _is_local(service: TrivialRewrite, domain: str) -> Wait[bool]:
    try:
        return (yield from resolve_local(service.process, domain))
    except TableError as error:
        raise Failed("mydestination") from error


def _normal_form(service: TrivialRewrite, address: str) -> Wait[tuple[str, str, bool, int]]:
    """The recipient with a domain, that domain, whether it is local, and error flags."""
    plain = PLAIN.match(address)
    if plain is not None and not (yield from _is_local(service, plain[1])):
        recipient, is_local = address, False
    else:
        tree, is_local = yield from _strip_local(service, address)
        recipient = tok822_internalize(tree.children)
    domain = recipient.rpartition("@")[2]
    conf = service.process.conf
    utf8 = conf.smtputf8_enable
    if domain.startswith("["):
        flags = 0 if valid_mailhost_literal(domain) else RESOLVE_FLAG_ERROR
    elif utf8 and not recipient.isascii() and not _is_utf8(recipient):
        flags = RESOLVE_FLAG_ERROR
    elif valid_utf8_hostname(utf8, domain, midna_warn(service.process)):
        flags = 0
    elif conf.resolve_numeric_domain and valid_hostaddr(domain):
        recipient = f"{recipient[: -len(domain)]}[{domain}]"
        domain = f"[{domain}]"
        is_local = is_local or (yield from _is_local(service, domain))
        flags = 0
    else:
        flags = RESOLVE_FLAG_ERROR
    return recipient, domain, is_local, flags


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _strip_local(service: TrivialRewrite, address: str) -> Wait[tuple[Token, bool]]:
    """Strips local domains and undoes routing operators, until a remote domain or a plain local
    part is left.  True for a local address; the tree has a domain at its end.
    """
    conf = service.process.conf
    quoted = quote_822_local(address)
    tree = tok822_scan_addr(quoted)
    saved: list[Token] | None = None
    for _ in range(len(address) + 101):
        _strip_dot(tree)
        if conf.resolve_null_domain and tree.children and tree.children[-1].type == "@":
            tree.keep_before(len(tree.children) - 1)
        at = tok822_rfind_type(tree.children, "@")
        if at >= 0:
            domain = tree.children[at + 1 :]
            if domain and not (yield from _is_local(service, tok822_internalize(domain))):
                return tree, False
            saved = tree.keep_before(at)
        if _has_operator(service, tree.children):
            yield from rewrite_tree(service, service.local_context, tree)
            continue
        if conf.resolve_dequoted_address and _crack_quotes(service, tree):
            yield from rewrite_tree(service, service.local_context, tree)
            continue
        parts = tree.children
        if len(parts) == 1 and parts[0].type == TOK822_QSTRING and not parts[0].text:
            tree.children = []
        if not tree.children:
            tree.children = tok822_scan(conf.empty_address_recipient)
            continue
        if saved is None:
            tree.append([Token("@")])
            tree.append(tok822_scan(conf.myhostname))
            continue
        tree.append(saved)
        return tree, True
    service.process.log.warning(
        f"resolve_addr: <{address}>: giving up after {len(address) + 101} iterations"
    )
    raise Failed(address)


def _strip_dot(tree: Token) -> None:
    parts = tree.children
    if (
        len(parts) > 1
        and parts[-1].type == "."
        and tok822_rfind_type(parts, "@") >= 0
        and parts[-2].type not in (".", "@")
    ):
        tree.keep_before(len(parts) - 1)


def _has_operator(service: TrivialRewrite, parts: list[Token]) -> bool:
    conf = service.process.conf
    return (
        tok822_rfind_type(parts, "@") >= 0
        or (conf.swap_bangpath and tok822_rfind_type(parts, "!") >= 0)
        or (conf.allow_percent_hack and tok822_rfind_type(parts, "%") >= 0)
    )


def _crack_quotes(service: TrivialRewrite, tree: Token) -> bool:
    """Looks for routing operators inside a quoted local part; opens it where there is one."""
    conf = service.process.conf
    parts = tree.children
    if len(parts) != 1 or parts[0].type != TOK822_QSTRING:
        return False
    text = parts[0].text
    at = text.rfind("@")
    if at < 0 and conf.allow_percent_hack:
        at = text.rfind("%")
    if at < 0 and conf.swap_bangpath:
        at = text.rfind("!")
    if at < 0:
        return False
    operator = "@" if text[at] == "%" else text[at]
    text = text[:at] + operator + text[at + 1 :]
    if operator == "@":
        text = quote_822_local(text)
    tree.children = tok822_scan(text)
    return True


def _remote(
    service: TrivialRewrite, settings: Settings, sender: str, domain: str
) -> Wait[tuple[Route, str, int]]:
    """Route, the parameter it came from, and class of a domain that is not local."""
    conf = service.process.conf
    if (yield from service.in_list("virtual_alias_domains", domain)):
        yield from _warn_twice(service, domain, "virtual_alias_domains", mailbox=True, relay=True)
        table = " in virtual alias table" if conf.show_user_unknown_table_name else ""
        return Route("error", f"5.1.1 User unknown{table}"), "", RESOLVE_CLASS_ALIAS
    if (yield from service.in_list("virtual_mailbox_domains", domain)):
        yield from _warn_twice(service, domain, "virtual_mailbox_domains", relay=True)
        name, value = settings.virtual_transport
        return Route(value, domain), name, RESOLVE_CLASS_VIRTUAL
    if (yield from service.in_list("relay_domains", domain)):
        blame, channel = settings.relay_transport
        kind = RESOLVE_CLASS_RELAY
    else:
        blame, channel = yield from _default_transport(service, settings, sender)
        kind = RESOLVE_CLASS_DEFAULT
    nexthop = yield from _relayhost(service, settings, sender)
    return Route(channel, nexthop or domain), blame, kind


def _sender_map(
    service: TrivialRewrite, named: tuple[str, Maps], sender: str, null_key: str
) -> Wait[str | None]:
    """What a sender-dependent table says: None for nothing; DUNNO where the result is empty."""
    name, maps = named
    if not maps:
        return None
    key = sender or null_key
    try:
        found = yield from mail_addr_find(service.process, maps, key)
    except TableError as error:
        raise _fail(service, name) from error
    if found is None:
        return None
    if not found.value:
        service.process.log.warning(f"{name}: ignoring null lookup result for {key}")
        return "DUNNO"
    return found.value


def _default_transport(
    service: TrivialRewrite, settings: Settings, sender: str
) -> Wait[tuple[str, str]]:
    null_key = service.process.conf.empty_address_default_transport_maps_lookup_key
    named = settings.sender_default_transport
    value = yield from _sender_map(service, named, sender, null_key)
    if value is None:
        return settings.default_transport
    if value.upper() == "DUNNO":
        value = settings.default_transport[1]
    return named[0], value


def _relayhost(service: TrivialRewrite, settings: Settings, sender: str) -> Wait[str]:
    null_key = service.process.conf.empty_address_relayhost_maps_lookup_key
    value = yield from _sender_map(service, settings.sender_relayhost, sender, null_key)
    if value is None or value.upper() == "DUNNO":
        return settings.relayhost
    return value


def _warn_twice(
    service: TrivialRewrite,
    domain: str,
    first: str,
    alias: bool = False,
    mailbox: bool = False,
    relay: bool = False,
) -> Wait[None]:
    """Warns of a domain that is in two lists."""
    if not service.process.conf.helpful_warnings:
        return
    for wanted, name in (
        (alias, "virtual_alias_domains"),
        (mailbox, "virtual_mailbox_domains"),
        (relay, "relay_domains"),
    ):
        if wanted and (yield from service.in_list(name, domain, quiet=True)):
            service.process.log.warning(f"do not list domain {domain} in BOTH {first} and {name}")


def _explicit_nexthop(service: TrivialRewrite, route: Route, blame: str) -> Route:
    """``transport:nexthop`` as a parameter's value overrides the next hop."""
    channel, colon, nexthop = route.channel.partition(":")
    if not channel:
        directory = service.process.conf.config_directory
        service.process.log.warning(
            f"file {directory}/main.cf: parameter {blame}: null transport is not allowed"
        )
        raise Failed(blame)
    return Route(channel, nexthop if colon and nexthop else route.nexthop)


def _overrides(
    service: TrivialRewrite,
    settings: Settings,
    recipient: str,
    domain: str,
    route: Route,
    kind: int,
) -> Wait[Route]:
    """``transport_maps``, then ``relocated_maps``."""
    tables = settings.transport_maps
    if tables is not None and kind != RESOLVE_CLASS_ALIAS:
        try:
            route = (yield from tables.lookup(recipient, domain, route)) or route
        except TableError as error:
            raise _fail(service, tables.title) from error
    if service.relocated_maps:
        try:
            moved = yield from mail_addr_find(service.process, service.relocated_maps, recipient)
        except TableError as error:
            raise _fail(service, "relocated_maps") from error
        if moved is not None:
            route = Route("error", f"5.1.6 User has moved to {moved.value}")
    return route

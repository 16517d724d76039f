"""Addresses in standard form (rewrite.c): source routes, ``!`` and ``%``, missing domains."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mta.lib.requests import RESOLVE_CLASS_DEFAULT
from mta.system import Wait
from mta.wire.tok822 import (
    TOK822_DOMLIT,
    TOK822_QSTRING,
    Token,
    tok822_externalize,
    tok822_find_type,
    tok822_rfind_type,
    tok822_scan,
    tok822_scan_addr,
)

if TYPE_CHECKING:
    from mta.trivial_rewrite.trivial_rewrite import TrivialRewrite


class Context(NamedTuple):
    """What is added to incomplete addresses: ``@origin`` and ``.domain``; empty for nothing."""

    origin: str
    domain: str


def rewrite_address(service: TrivialRewrite, context: Context, address: str) -> Wait[str]:
    """The address (external form) rewritten in a context."""
    if not address:
        service.process.log.warning("rewrite_addr: null address")
        return ""
    tree = tok822_scan_addr(address)
    yield from rewrite_tree(service, context, tree)
    return tok822_externalize([tree])


def rewrite_tree(service: TrivialRewrite, context: Context, tree: Token) -> Wait[None]:
    """Rewrites the parts of an address in place.  The tree must not be empty."""
    parts = tree.children
    if len(parts) == 1:
        if parts[0].type == TOK822_QSTRING and not parts[0].text:
            return
        if parts[0].type == "@":
            tree.children = [Token(TOK822_QSTRING, "")]
            return
    if parts[0].type == "@":
        colon = tok822_find_type(parts, ":")
        if 0 <= colon < len(parts) - 1:
            tree.keep_after(colon)
    if tok822_rfind_type(tree.children, "@") < 0:
        _add_domain(service, context, tree)
    yield from _complete_domain(service, context, tree)
    parts = tree.children
    if len(parts) > 1 and parts[-1].type == "." and parts[-2].type not in (".", "@"):
        tree.keep_before(len(parts) - 1)


def _add_domain(service: TrivialRewrite, context: Context, tree: Token) -> None:
    """site!user, user%domain, user: all to user@domain."""
    conf = service.process.conf
    parts = tree.children
    bang = tok822_find_type(parts, "!") if conf.swap_bangpath else -1
    if bang >= 0:
        tree.children = [*parts[bang + 1 :], Token("@"), *parts[:bang]]
        return
    percent = tok822_rfind_type(parts, "%") if conf.allow_percent_hack else -1
    if percent >= 0:
        parts[percent].type = "@"
    elif conf.append_at_myorigin and context.origin:
        tree.append([Token("@")])
        tree.append(tok822_scan(context.origin))


def _complete_domain(service: TrivialRewrite, context: Context, tree: Token) -> Wait[None]:
    """user@host to user@host.domain."""
    conf = service.process.conf
    if not (conf.append_dot_mydomain and context.domain):
        return
    parts = tree.children
    at = tok822_rfind_type(parts, "@")
    if (
        at < 0
        or at == len(parts) - 1
        or tok822_find_type(parts, TOK822_DOMLIT, at) >= 0
        or tok822_find_type(parts, ".", at) >= 0
    ):
        return
    if conf.warn_compat_break_app_dot_mydomain:
        yield from _warn_compat(service, parts[at + 1].text)
    tree.append([Token(".")])
    tree.append(tok822_scan(context.domain))


def _warn_compat(service: TrivialRewrite, host: str) -> Wait[None]:
    if not host:
        return
    text = (
        f'using backwards-compatible default setting append_dot_mydomain=yes to rewrite "{host}" '
        f'to "{host}.{service.process.conf.mydomain}"'
    )
    if host.lower() != "localhost":
        service.process.log.info(text)
    elif (yield from service.resolve_class("localhost")) == RESOLVE_CLASS_DEFAULT:
        service.process.log.info(
            f'{text}; please add "localhost" to mydestination or other address class'
        )

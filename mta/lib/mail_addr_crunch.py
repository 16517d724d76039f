"""mail_addr_crunch(3) - text into a list of rewritten addresses, with an extension where wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.lib import clients
from mta.lib.requests import REWRITE_LOCAL
from mta.system import Wait
from mta.wire.tok822 import tok822_externalize, tok822_grep, tok822_parse

if TYPE_CHECKING:
    from mta.master.server import Process


def mail_addr_crunch(process: Process, text: str, extension: str = "") -> Wait[list[str]]:
    """The addresses of the text in external (quoted) and standard form (rewritten in the local
    context), each with the extension before its last ``@``.  ``""`` and ``<>`` are the null
    address.
    """
    if not text or text == "<>":
        text = '""'
    result = []
    for token in tok822_grep(tok822_parse(text)):
        address = tok822_externalize(token.children)
        canonical = yield from clients.rewrite(process, REWRITE_LOCAL, address)
        result.append(with_extension(canonical, extension) if extension else canonical)
    return result


def with_extension(address: str, extension: str) -> str:
    """The address with an extension (delimiter included) before its last ``@``."""
    localpart, ratsign, domain = address.rpartition("@")
    if not ratsign:
        return address + extension
    return f"{localpart}{extension}@{domain}"

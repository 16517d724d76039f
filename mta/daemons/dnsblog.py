"""dnsblog(8) - looks up addresses in DNS lists, and logs what it finds.

NAME
    dnsblog - Postfix DNS white/blacklist logger

DESCRIPTION
    Answers one question at a time: whether a list in the DNS has an address.  The answer is the
    addresses that the list gives for it, or nothing.  postscreen(8) asks.

DIAGNOSTICS
    ``addr ADDRESS listed by domain LIST as ADDRESS``; a warning where a list cannot be asked.

CONFIGURATION PARAMETERS
    dnsblog_reply_delay
"""

from __future__ import annotations

import ipaddress
from typing import Any

from mta.dns_lookup import DNS_NOTFOUND, DNS_OK, dns_lookup
from mta.lib.dnsblog import DnsblogRequest
from mta.master.server import Program, program
from mta.system import Wait
from mta.util.valid_hostname import valid_ipv6_hostaddr


@program("dnsblog")
class Dnsblog(Program):
    """One process of dnsblog(8)."""

    def serve(self, request: Any) -> Wait[list[str]]:
        """What the list has for the address."""
        assert isinstance(request, DnsblogRequest)
        process = self.process
        query = f"{_reversed(request.address)}.{request.domain}"
        answer = yield from dns_lookup(process, query, "A")
        found: list[str] = []
        if answer.status == DNS_OK:
            for rr in answer.records:
                process.log.info(
                    f"addr {request.address} listed by domain {request.domain} as {rr.data}"
                )
                found.append(rr.data)
        elif answer.status != DNS_NOTFOUND:
            process.log.warning(f"dnsblog_query: lookup error for DNS query {query}: {answer.why}")
        if process.conf.dnsblog_reply_delay:
            yield process.system.sleep(process.conf.dnsblog_reply_delay)
        return found


def _reversed(address: str) -> str:
    if valid_ipv6_hostaddr(address):
        digits = ipaddress.IPv6Address(address).exploded.replace(":", "")
        return ".".join(reversed(digits))
    return ".".join(reversed(address.split(".")))

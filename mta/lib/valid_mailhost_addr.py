"""valid_mailhost_addr(3) - addresses of hosts as RFC 5321 writes them."""

from __future__ import annotations

from mta.util.valid_hostname import valid_ipv4_hostaddr, valid_ipv6_hostaddr

IPV6_COL = "IPv6:"


def valid_mailhost_addr(text: str) -> str | None:
    """The bare address of ``192.0.2.1`` or ``IPv6:2001:db8::1``; None for anything else."""
    if text[:5].lower() == "ipv6:":
        bare = text[5:]
        return bare if valid_ipv6_hostaddr(bare) else None
    return text if valid_ipv4_hostaddr(text) else None


def valid_mailhost_literal(text: str) -> bool:
    """Whether a text is an address in brackets, ``[192.0.2.1]``."""
    return (
        text.startswith("[")
        and text.find("]") == len(text) - 1
        and valid_mailhost_addr(text[1:-1]) is not None
    )

"""Host and port in one text (host_port(3))."""

from __future__ import annotations

from typing import NamedTuple

from mta.util.midna_domain import valid_utf8_hostname
from mta.util.scalars import all_digits
from mta.util.valid_hostname import valid_hostaddr, valid_ipv6_hostaddr


class HostPortError(ValueError):
    """A text that is no host and port; ``args[0]`` is what Postfix says of it."""


class HostPort(NamedTuple):
    """The two, as written."""

    host: str
    port: str


def host_port(
    text: str,
    default_host: str | None = None,
    default_port: str | None = None,
    utf8: bool = False,
) -> HostPort:
    """Splits ``[host]:port``, ``[ipv6:addr]:port``, ``host:port``, ``host`` or ``port``.

    With ``utf8`` (the parameter smtputf8_enable) the host may be an international name.
    What is missing or empty is taken from the defaults; with no default it is an error.  A single
    word is the host, or the port where a host has a default and the port has none.
    Raises HostPortError.
    """
    host: str | None
    port: str | None
    if text.startswith("["):
        rest = text[1:]
        ipv6 = rest[:5].lower() == "ipv6:"
        host, bracket, rest = rest[5 * ipv6 :].partition("]")
        if not bracket:
            raise HostPortError('missing "]"')
        if rest and rest[0] != ":":
            raise HostPortError('garbage after "]"')
        if ipv6 and not valid_ipv6_hostaddr(host):
            raise HostPortError("malformed IPv6 address")
        port = rest[1:] or default_port
    elif ":" in text:
        host, _, port = text.rpartition(":")
        host = host or default_host
        port = port or default_port
    else:
        host = default_host if default_host is not None else text or None
        port = default_port if default_port is not None else text or None
    if host is None:
        raise HostPortError("missing host information")
    if port is None:
        raise HostPortError("missing service information")
    if (
        host is not default_host
        and not valid_utf8_hostname(utf8, host)
        and not valid_hostaddr(host)
    ):
        raise HostPortError("valid hostname or network address required")
    if (
        port is not default_port
        and port[:1].isdecimal()
        and port[:1].isascii()
        and not all_digits(port)
    ):
        raise HostPortError("garbage after numerical service")
    return HostPort(host, port)

"""Network patterns ``address``, ``network/length``, with or without ``[]`` (cidr_match(3))."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}", re.ASCII)


class CidrError(ValueError):
    """A bad pattern; ``args[0]`` is Postfix's text for it."""


class CidrPattern(NamedTuple):
    """A network: number of bits of the address, the network as a number, and its mask."""

    bits: int
    network: int
    mask: int

    def matches(self, address: tuple[int, int]) -> bool:
        """Whether an address, as :func:`parse_address` gives it, is in the network."""
        return address[0] == self.bits and address[1] & self.mask == self.network


@lru_cache(maxsize=4096)
def parse_address(text: str) -> tuple[int, int] | None:
    """The number of bits and the number of an address (inet_pton(3)), None where it is none."""
    if ":" not in text:
        return (32, int(IPv4Address(text))) if _IPV4.fullmatch(text) else None
    if "%" in text or not text.isascii():
        return None
    try:
        return (128, int(IPv6Address(text)))
    except AddressValueError:
        return None


def address_text(bits: int, number: int) -> str:
    """The usual form of an address (inet_ntop(3))."""
    if bits == 32:
        return str(IPv4Address(number))
    mapped = number >> 32
    if mapped == 0xFFFF or (mapped == 0 and number >> 16):
        prefix = "::ffff:" if mapped else "::"
        return prefix + str(IPv4Address(number & 0xFFFFFFFF))
    return str(IPv6Address(number))


def cidr_parse(pattern: str) -> CidrPattern:
    """A pattern in its compiled form.  Raises CidrError."""
    network, mask = _split(pattern)
    bits = 128 if ":" in network else 32
    address = parse_address(network)
    if mask is None:
        if address is None:
            raise CidrError(f'bad address pattern: "{network}"')
        return CidrPattern(bits, address[1], (1 << bits) - 1)
    if address is None or not (mask.isascii() and mask.isdigit()) or int(mask) > bits:
        raise CidrError(f'bad net/mask pattern: "{network}/{mask}"')
    size = int(mask)
    mask_number = ((1 << size) - 1) << (bits - size)
    if address[1] & ~mask_number:
        better = address_text(bits, address[1] & mask_number)
        raise CidrError(
            f'non-null host address bits in "{network}/{mask}", '
            f'perhaps you should use "{better}/{size}" instead'
        )
    return CidrPattern(bits, address[1], mask_number)


def _split(pattern: str) -> tuple[str, str | None]:
    """The address, and what comes after ``/``; brackets around one or both removed."""
    if not pattern.startswith("["):
        return _cut(pattern)
    inner, bracket, rest = pattern[1:].partition("]")
    if not bracket:
        raise CidrError(f"missing ']' character after \"[{inner}\"")
    if not rest:
        return _cut(inner)
    if not rest.startswith("/"):
        raise CidrError(f'garbage after "[{inner}]"')
    return inner, rest[1:]


def _cut(text: str) -> tuple[str, str | None]:
    network, slash, mask = text.partition("/")
    return network, mask if slash else None

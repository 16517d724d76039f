"""quote_821_local(3), quote_822_local(3), xtext(3), uxtext(3): addresses in external form.

Internal form is what Postfix works with: ``john doe@example.com``.  External form is what SMTP
commands (RFC 821) and headers (RFC 822) show: ``"john doe"@example.com``.
"""

from __future__ import annotations

import re
from functools import lru_cache

from mta.wire.text import to_bytes, to_text

QUOTE_FLAG_8BITCLEAN = 1 << 0  #: 8-bit text is ordinary text
QUOTE_FLAG_EXPOSE_AT = 1 << 1  #: ``@`` is ordinary text

_ATOM = r"[^\x00-\x20\x7f()<>,;:\\\"\[\].@]"
_ATOM_AT = r"[^\x00-\x20\x7f()<>,;:\\\"\[\].]"
_ATOM_7BIT = r"[!#$%&'*+\-/0-9=?A-Z^_`a-z{|}~]"
_ATOM_7BIT_AT = r"[!#$%&'*+\-/0-9=?@A-Z^_`a-z{|}~]"


def _dot_string(atom: str) -> re.Pattern[str]:
    return re.compile(rf"{atom}+(?:\.{atom}+)*")


#: Atoms separated by dots, by the quote flags.
_DOT_STRING = {
    0: _dot_string(_ATOM_7BIT),
    QUOTE_FLAG_8BITCLEAN: _dot_string(_ATOM),
    QUOTE_FLAG_EXPOSE_AT: _dot_string(_ATOM_7BIT_AT),
    QUOTE_FLAG_8BITCLEAN | QUOTE_FLAG_EXPOSE_AT: _dot_string(_ATOM_AT),
}

_ESCAPE_821 = re.compile(r'[\r\n"\\]')
_ESCAPE_822 = re.compile(r'["\\\r]')
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def _quoted_string(local: str, escape: re.Pattern[str], flags: int) -> str:
    local = escape.sub(r"\\\g<0>", local)
    if not flags & QUOTE_FLAG_8BITCLEAN and not local.isascii():
        local = _NOT_ASCII.sub(_escape_bytes, local)
    return f'"{local}"'


def _escape_bytes(match: re.Match[str]) -> str:
    """A backslash before every single byte of a character."""
    return to_text(b"".join(b"\\" + bytes((byte,)) for byte in to_bytes(match.group())))


def _split_local(address: str, start: int) -> int:
    """Where the local part ends."""
    at = address.rfind("@", start)
    return len(address) if at < 0 else at


@lru_cache(maxsize=4096)
def quote_821_local(address: str, flags: int = QUOTE_FLAG_8BITCLEAN) -> str:
    """The address with its local part quoted where RFC 821 wants it, for SMTP commands."""
    end = _split_local(address, 0)
    local = address[:end]
    if _DOT_STRING[flags].fullmatch(local):
        return address
    return _quoted_string(local, _ESCAPE_821, flags) + address[end:]


@lru_cache(maxsize=4096)
def quote_822_local(address: str, flags: int = QUOTE_FLAG_8BITCLEAN) -> str:
    """The address with its local part quoted where RFC 822 wants it, for headers and logs.
    A source route in front of the local part is left alone.  The empty address becomes ``""``.
    """
    start = 0
    if address.startswith("@"):
        start = address.find(":") + 1
    end = _split_local(address, start)
    local = address[start:end]
    if _DOT_STRING[flags].fullmatch(local):
        return address
    return address[:start] + _quoted_string(local, _ESCAPE_822, flags) + address[end:]


def unquote_822_local(address: str) -> str:
    """The address in internal form: no quotes or backslashes in its local part."""
    if '"' not in address and "\\" not in address:
        return address
    start = 0
    if address.startswith("@"):
        start = address.find(":") + 1
    end = _split_local(address, start)
    local: list[str] = []
    offset = start
    while offset < end:
        char = address[offset]
        offset += 1
        if char == '"':
            continue
        if char == "\\":
            if offset >= len(address):
                continue
            char = address[offset]
            offset += 1
        local.append(char)
    return address[:start] + "".join(local) + address[end:]


# -- xtext, RFC 3461 ------------------------------------------------------------------------------

_XTEXT_PLAIN = re.compile(r"[!-*,-~]*")
_XTEXT_BAD = re.compile(r"\+(?![0-9A-Fa-f]{2})")
_XTEXT_ESCAPE = re.compile(rb"\+([0-9A-Fa-f]{2})")


def xtext_quote(text: str, special: str = "") -> str:
    """xtext: ``+``, anything but printable ASCII, and the specials become ``+XX`` (RFC 3461)."""
    if _XTEXT_PLAIN.fullmatch(text) and not any(char in text for char in special):
        return text
    return "".join(
        chr(byte)
        if 32 < byte < 127 and byte != 0x2B and chr(byte) not in special
        else f"+{byte:02X}"
        for byte in to_bytes(text)
    )


def xtext_unquote(text: str) -> str | None:
    """The text that an xtext stands for; None where it is malformed."""
    if "+" not in text:
        return text
    if _XTEXT_BAD.search(text):
        return None
    data = _XTEXT_ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), to_bytes(text))
    return to_text(data.partition(b"\0")[0])


# -- uxtext, RFC 6533 -----------------------------------------------------------------------------

_UXTEXT_ESCAPE = re.compile(rb"\\x\{([0-9A-Fa-f]*)\}")
_UXTEXT_OPEN = re.compile(rb"\\x\{(?![0-9A-Fa-f]*\})")

#: Lead bytes of UTF-8 as it once was: mask, value, payload, bytes that follow.
_UTF8_LEADS = (
    (0xE0, 0xC0, 0x1F, 1),
    (0xF0, 0xE0, 0x0F, 2),
    (0xF8, 0xF0, 0x07, 3),
    (0xFC, 0xF8, 0x03, 4),
    (0xFE, 0xFC, 0x01, 5),
)


def uxtext_quote(text: str, special: str = "") -> str:
    r"""utf-8-addr-xtext: backslash, anything but printable ASCII, and the specials become
    ``\x{XX}`` with the number of the character (RFC 6533).  Ends at what is not UTF-8.
    """
    data = to_bytes(text)
    out: list[str] = []
    offset = 0
    while offset < len(data):
        byte = data[offset]
        if byte != 0x5C and 32 < byte < 127 and chr(byte) not in special:
            out.append(chr(byte))
            offset += 1
            continue
        decoded = _decode_utf8(data, offset)
        if decoded is None:
            break
        number, offset = decoded
        out.append(f"\\x{{{number:02X}}}")
    return "".join(out)


def _decode_utf8(data: bytes, offset: int) -> tuple[int, int] | None:
    """The number of the character at the offset and where it ends; lenient as Postfix is."""
    byte = data[offset]
    if byte < 0x80:
        return byte, offset + 1
    for mask, value, payload, follow in _UTF8_LEADS:
        if byte & mask == value:
            number = byte & payload
            tail = data[offset + 1 : offset + 1 + follow]
            if len(tail) < follow or any(more & 0xC0 != 0x80 for more in tail):
                return None
            for more in tail:
                number = number << 6 | more & 0x3F
            return number, offset + 1 + follow
    return None


def uxtext_unquote(text: str) -> str | None:
    """The text that a utf-8-addr-xtext stands for; None where it is malformed."""
    if "\\x{" not in text:
        return text
    data = to_bytes(text)
    if _UXTEXT_OPEN.search(data):
        return None
    try:
        data = _UXTEXT_ESCAPE.sub(_encode_utf8, data)
    except ValueError:
        return None
    return to_text(data.partition(b"\0")[0])


def _encode_utf8(match: re.Match[bytes]) -> bytes:
    number = int(match[1] or b"0", 16)
    if number > 0x10FFFF:
        raise ValueError(number)
    return chr(number).encode("utf-8", "surrogatepass")

"""The results of Cyrus SASL (sasl.h), their texts, and base 64 as its decoder takes it."""

from __future__ import annotations

import binascii
import re

SASL_CONTINUE = 1
SASL_OK = 0
SASL_FAIL = -1
SASL_BUFOVER = -3
SASL_NOMECH = -4
SASL_BADPROT = -5
SASL_BADSERV = -10
SASL_BADAUTH = -13
SASL_ENCRYPT = -16
SASL_NOUSER = -20

#: What sasl_errstring(3) says of each.
_TEXTS = {
    SASL_CONTINUE: "another step is needed in authentication",
    SASL_OK: "successful result",
    SASL_FAIL: "generic failure",
    SASL_BUFOVER: "overflowed buffer",
    SASL_NOMECH: "no mechanism available",
    SASL_BADPROT: "bad protocol / cancel",
    SASL_BADSERV: "server failed mutual authentication step",
    SASL_BADAUTH: "authentication failure",
    SASL_ENCRYPT: "encryption needed to use mechanism",
    SASL_NOUSER: "user not found",
}

_GROUPS = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=))?")


class SaslError(Exception):
    """A step has failed: ``args`` are the result and what the library logs, perhaps nothing.

    ``problem`` tells an error of the program that uses the library (SASL_LOG_ERR) from a failure of
    the authentication (SASL_LOG_FAIL).
    """

    def __init__(self, result: int, detail: str = "", problem: bool = False) -> None:
        super().__init__(result, detail, problem)
        self.result = result
        self.detail = detail
        self.problem = problem


def sasl_errstring(result: int) -> str:
    """The text of a result."""
    return _TEXTS[result]


def decode64(text: bytes) -> bytes:
    """The meaning of a text in base 64 (sasl_decode64).  Raises SaslError.

    A text that ends in the middle of a group asks for more; anything else that is no base 64 is a
    violation of the protocol.
    """
    if text[:1] == b"\r":
        raise SaslError(SASL_FAIL)
    good = _GROUPS.match(text)
    assert good is not None
    end = good.end()
    if end == len(text):
        return binascii.a2b_base64(text)
    if len(text) - end < 4 and text[end - 1 : end] != b"=":
        raise SaslError(SASL_CONTINUE)
    raise SaslError(SASL_BADPROT)


def encode64(data: bytes) -> bytes:
    """A text in base 64, in one line."""
    return binascii.b2a_base64(data, newline=False)

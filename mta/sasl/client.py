"""A client of the SASL library: the mechanisms it knows, and one login (sasl_client_*(3))."""

from __future__ import annotations

from mta.sasl.digest_md5 import DigestMd5
from mta.sasl.mechanism import (
    SASL_SEC_MUTUAL_AUTH,
    SASL_SEC_NOACTIVE,
    SASL_SEC_NOANONYMOUS,
    SASL_SEC_NODICTIONARY,
    SASL_SEC_NOPLAINTEXT,
    Credentials,
    Mechanism,
    MechanismType,
    choose,
)
from mta.sasl.ntlm import Ntlm
from mta.sasl.scram import scram
from mta.sasl.simple import Anonymous, CramMd5, External, Login, Plain
from mta.sasl.status import SASL_FAIL, SaslError

_HASHED = SASL_SEC_NOPLAINTEXT | SASL_SEC_NOANONYMOUS
_SCRAM = _HASHED | SASL_SEC_NOACTIVE | SASL_SEC_MUTUAL_AUTH

#: The mechanisms, the best one first.
MECHANISMS: dict[str, MechanismType] = {
    "SCRAM-SHA-512": MechanismType(_SCRAM, scram("SCRAM-SHA-512", "sha512")),
    "SCRAM-SHA-384": MechanismType(_SCRAM, scram("SCRAM-SHA-384", "sha384")),
    "SCRAM-SHA-256": MechanismType(_SCRAM, scram("SCRAM-SHA-256", "sha256")),
    "SCRAM-SHA-224": MechanismType(_SCRAM, scram("SCRAM-SHA-224", "sha224")),
    "SCRAM-SHA-1": MechanismType(_SCRAM, scram("SCRAM-SHA-1", "sha1")),
    "DIGEST-MD5": MechanismType(_HASHED | SASL_SEC_MUTUAL_AUTH, DigestMd5),
    "EXTERNAL": MechanismType(_HASHED | SASL_SEC_NODICTIONARY, External),
    "CRAM-MD5": MechanismType(_HASHED, CramMd5),
    "NTLM": MechanismType(_HASHED, Ntlm),
    "PLAIN": MechanismType(SASL_SEC_NOANONYMOUS, Plain),
    "LOGIN": MechanismType(SASL_SEC_NOANONYMOUS, Login),
    "ANONYMOUS": MechanismType(SASL_SEC_NOPLAINTEXT, Anonymous),
}


class SaslClient:
    """One login.  ``wanted`` are the properties that a mechanism must have (SASL_SEC_*)."""

    __slots__ = ("_credentials", "_mechanism", "_wanted")

    def __init__(self, wanted: int, credentials: Credentials) -> None:
        self._wanted = wanted
        self._credentials = credentials
        self._mechanism: Mechanism | None = None

    def start(self, offered: str) -> tuple[str, bytes | None]:
        """The best mechanism of those that the server offers, and its initial response, perhaps
        none.  Raises SaslError.
        """
        name = choose(MECHANISMS, offered, self._wanted)
        self._mechanism = MECHANISMS[name].begin(self._credentials)
        return name, self._mechanism.start()

    def step(self, challenge: bytes) -> bytes:
        """The response to a challenge.  Raises SaslError."""
        if self._mechanism is None or self._mechanism.done:
            raise SaslError(SASL_FAIL, "attempting client step after doneflag", True)
        return self._mechanism.step(challenge)

"""The mechanisms of a SASL client: the examples of their standards, and what real Cyrus SASL does."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest

from mta.sasl.client import MECHANISMS, SaslClient
from mta.sasl.digest_md5 import pairs
from mta.sasl.mechanism import Credentials, canon_user
from mta.sasl.ntlm import md4
from mta.sasl.status import SaslError, decode64, sasl_errstring

NOPLAINTEXT, NOACTIVE, NODICTIONARY, FORWARD, NOANONYMOUS, MUTUAL = 1, 2, 4, 8, 16, 64


def credentials(
    name: bytes = b"user",
    password: bytes = b"secret",
    nonce: bytes = b"",
    authzid: bool = False,
    service: bytes = b"smtp",
    server: bytes = b"mx.dest.test",
) -> Credentials:
    """Of somebody whose nonce, in base 64, is known."""

    def random(size: int) -> bytes:
        return base64.b64decode(nonce) if nonce else bytes(size)

    return Credentials(
        name, password, service, server, b"mx.example.org", authzid, random, lambda text: None
    )


def login(mechanism: str, told: Credentials, *challenges: bytes) -> list[bytes | None]:
    """What the client says: the initial response, then one for each challenge."""
    client = SaslClient(0, told)
    name, initial = client.start(mechanism)
    assert name == mechanism
    return [initial, *(client.step(challenge) for challenge in challenges)]


def failure(act: Callable[[], object]) -> tuple[str, str]:
    """The text of the result, and what is logged."""
    with pytest.raises(SaslError) as caught:
        act()
    return sasl_errstring(caught.value.result), caught.value.detail


# -- which one ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "wanted", "chosen"),
    [
        ("PLAIN LOGIN", NOANONYMOUS, "PLAIN"),
        ("LOGIN PLAIN", NOANONYMOUS, "PLAIN"),
        ("login", NOANONYMOUS, "LOGIN"),
        ("PLAIN LOGIN CRAM-MD5", NOANONYMOUS, "CRAM-MD5"),
        ("NTLM CRAM-MD5", 0, "CRAM-MD5"),
        ("LOGIN NTLM GSSAPI", NOANONYMOUS, "NTLM"),
        ("CRAM-MD5 DIGEST-MD5", 0, "DIGEST-MD5"),
        ("DIGEST-MD5 SCRAM-SHA-1", 0, "SCRAM-SHA-1"),
        ("SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-224", 0, "SCRAM-SHA-256"),
        ("SCRAM-SHA-512 SCRAM-SHA-384", 0, "SCRAM-SHA-512"),
        ("ANONYMOUS LOGIN", 0, "LOGIN"),
        ("ANONYMOUS PLAIN", NOPLAINTEXT, "ANONYMOUS"),
        ("PLAIN CRAM-MD5 DIGEST-MD5", MUTUAL, "DIGEST-MD5"),
        ("CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1", NOACTIVE, "SCRAM-SHA-1"),
        ("EXTERNAL DIGEST-MD5", NOANONYMOUS, "DIGEST-MD5"),
        ("SCRAM-SHA-1-PLUS LOGIN", 0, "LOGIN"),
        ("PLAIN,LOGIN", 0, "PLAIN"),
        ("CRAM-MD5/PLAIN", 0, "CRAM-MD5"),
        ("=PLAIN", 0, "PLAIN"),
    ],
)  # fmt: skip
def test_the_best_mechanism_that_policy_allows_is_chosen(
    offered: str, wanted: int, chosen: str
) -> None:
    assert SaslClient(wanted, credentials()).start(offered)[0] == chosen


@pytest.mark.parametrize(
    ("offered", "wanted", "logged"),
    [
        ("PLAIN LOGIN", NOPLAINTEXT, "No worthy mechs found"),
        ("ANONYMOUS", NOANONYMOUS, "No worthy mechs found"),
        ("GSSAPI XOAUTH2", 0, "No worthy mechs found"),
        ("PLAINX XPLAIN PLAIN_", 0, "No worthy mechs found"),
        ("SCRAM-SHA-512 DIGEST-MD5", FORWARD, "No worthy mechs found"),
        ("-PLUS", 0, "No worthy mechs found"),
        ("EXTERNAL PLAIN CRAM-MD5", 0, ""),  # it is the best, and then it cannot
        ("SCRAM-SHA-1", NODICTIONARY, "No worthy mechs found"),
        ("EXTERNAL", NODICTIONARY, ""),
        ("SCRAM-SHA-1-PLUS", 0, ""),
        ("", 0, ""),
    ],
)
def test_where_no_mechanism_will_do_the_log_may_say_so(
    offered: str, wanted: int, logged: str
) -> None:
    found = failure(lambda: SaslClient(wanted, credentials()).start(offered))
    assert found == ("no mechanism available", logged)


# -- what they say --------------------------------------------------------------------------------


def test_plain_sends_name_and_password() -> None:
    assert login("PLAIN", credentials()) == [b"\0user\0secret"]
    assert login("PLAIN", credentials(authzid=True)) == [b"user\0user\0secret"]


def test_login_sends_name_and_password_whatever_is_asked() -> None:
    assert login("LOGIN", credentials(), b"Username:", b"Password:") == [None, b"user", b"secret"]
    assert login("LOGIN", credentials(password=b""), b"", b"") == [None, b"user", b""]


def test_anonymous_leaves_a_trace() -> None:
    assert login("ANONYMOUS", credentials()) == [b"anonymous@mx.example.org"]
    assert login("ANONYMOUS", credentials(authzid=True)) == [b"user@mx.example.org"]


def test_cram_md5_answers_as_in_rfc_2195() -> None:
    told = credentials(b"tim", b"tanstaaftanstaaf")
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    assert login("CRAM-MD5", told, challenge) == [None, b"tim b913a602c7eda7a495b4e6e7334d3890"]


@pytest.mark.parametrize(
    ("mechanism", "nonce", "server_nonce", "salt", "proof", "verifier"),
    [
        ("SCRAM-SHA-1", b"fyko+d2lbbFgONRv9qkxdawL", b"3rfcNHYJY1ZVvWVs7j", b"QSXCR+Q6sek8bf92",
         b"v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", b"rmF9pqV8S7suAoZWja4dJRkFsKQ="),
        ("SCRAM-SHA-256", b"rOprNGfwEbeRWgbNEkqO", b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
         b"W22ZaJ0SNY7soEsUEjb6gQ==", b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
         b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
    ],
)  # fmt: skip
def test_scram_is_that_of_rfc_5802_and_rfc_7677(
    mechanism: str, nonce: bytes, server_nonce: bytes, salt: bytes, proof: bytes, verifier: bytes
) -> None:
    told = credentials(b"user", b"pencil", nonce)
    both = nonce + server_nonce
    challenge = b"r=" + both + b",s=" + salt + b",i=4096"
    assert login(mechanism, told, challenge, b"v=" + verifier) == [
        b"n,,n=user,r=" + nonce,
        b"c=biws,r=" + both + b",p=" + proof,
        b"",
    ]


def test_scram_makes_names_harmless_and_may_name_whom_to_act_for() -> None:
    said = login("SCRAM-SHA-1", credentials(b"a,=b", authzid=True))[0]
    assert said is not None and said.startswith(b"n,a=a=2C=3Db,n=a=2C=3Db,r=")


def test_digest_md5_answers_as_rfc_2831_says_and_checks_the_server() -> None:
    nonce = b"OA6MHXh6VqTrRg=="
    told = credentials(b"chris", b"secret", nonce, service=b"imap", server=b"elwood.innosoft.com")
    challenge = (
        b'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",'
        b"algorithm=md5-sess,charset=utf-8"
    )

    def digest(kind: bytes) -> bytes:
        secret = hashlib.md5(b"chris:elwood.innosoft.com:secret").digest()
        a1 = hashlib.md5(secret + b":OA6MG9tEQGm2hh:" + nonce).hexdigest()
        a2 = hashlib.md5(kind + b":imap/elwood.innosoft.com").hexdigest()
        text = f"{a1}:OA6MG9tEQGm2hh:00000001:{nonce.decode()}:auth:{a2}"
        return hashlib.md5(text.encode()).hexdigest().encode()

    proof = b"rspauth=" + digest(b"")
    assert login("DIGEST-MD5", told, challenge, proof) == [
        None,
        b'username="chris",realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",cnonce="'
        + nonce
        + b'",nc=00000001,qop=auth,digest-uri="imap/elwood.innosoft.com",response='
        + digest(b"AUTHENTICATE"),
        b"",
    ]


#: As real Cyrus SASL answered, its nonce all zeros.
DIGESTS = [
    (b"user", b'nonce="x",algorithm=md5-sess', b'realm="mx.dest.test"'),
    (b"user", b'realm="a",nonce="x",algorithm=md5-sess', b'realm="a"'),
    (b"user", b'realm="a",realm="b",nonce="x",algorithm=md5-sess', b'realm="mx.dest.test"'),
    (b'q"\\', b'realm="a\\"",nonce=x,algorithm=md5-sess', b'username="q\\"\\\\",realm="a\\""'),
]


@pytest.mark.parametrize(("name", "challenge", "part"), DIGESTS)
def test_digest_md5_takes_one_realm_or_the_name_of_the_server(
    name: bytes, challenge: bytes, part: bytes
) -> None:
    said = login("DIGEST-MD5", credentials(name), challenge)[1]
    assert said is not None and part in said


def test_digest_md5_reckons_with_latin_letters_where_it_can() -> None:
    def response(name: bytes) -> bytes:
        said = login("DIGEST-MD5", credentials(name), b"nonce=x,algorithm=md5-sess")[1]
        assert said is not None
        return said.partition(b"response=")[2]

    assert response(b"\xc3\xa9") == response(b"\xe9")
    assert response(b"\xe4\xbd\xa0") != response(b"\x60")


NTLM_CHALLENGE = b"NTLMSSP\0\2\0\0\0\6\0\6\0 \0\0\0%s\0\0\x01\x23\x45\x67\x89\xab\xcd\xefd\0o\0m\0"


@pytest.mark.parametrize(
    ("flags", "response"),
    [
        (b"\x01\x02", "67c43011f30298a2ad35ece64f16331c44bdbed927841f94"),
        (b"\x01\x00", "98def7b87f88aa5dafe2df779688a172def11c7d5ccdef13"),
    ],
)
def test_ntlm_answers_as_in_the_examples_of_ms_nlmp(flags: bytes, response: str) -> None:
    told = credentials(b"User", b"Password")
    first, answer = login("NTLM", told, NTLM_CHALLENGE % flags)
    assert first is not None and first[:12] == b"NTLMSSP\0\1\0\0\0"
    assert answer is not None and answer[64:] == bytes.fromhex(response) + b"D\0O\0M\0U\0s\0e\0r\0"


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        (b"message digest", "d9130a8164549fe818874806e1c7014b"),
        (b"1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_md4_is_that_of_rfc_1320(text: bytes, digest: str) -> None:
    assert md4(text).hex() == digest


# -- how they fail --------------------------------------------------------------------------------

LONG_NAME = b"u" * 1025
BAD, GENERIC, DENIED = "bad protocol / cancel", "generic failure", "authentication failure"
NOT_FROM_US = "The nonce received from the server doesn't start from the nonce sent by the client"
ZERO_NONCE = b"A" * 32

FAILURES = [
    ("CRAM-MD5", [b"x" * 1025], BAD, "CRAM-MD5 input longer than 1024 bytes"),
    ("CRAM-MD5", [b"x", b""], GENERIC, "attempting client step after doneflag"),
    ("PLAIN", [b""], GENERIC, "attempting client step after doneflag"),
    ("DIGEST-MD5", [b""], GENERIC, "no server challenge"),
    ("DIGEST-MD5", [b"x" * 2049], BAD, ""),
    ("DIGEST-MD5", [b"hello"], DENIED, "Parse error"),
    ("DIGEST-MD5", [b'nonce="x'], DENIED, "Parse error"),
    ("DIGEST-MD5", [b"nonce=x"], GENERIC, "Must see 'algorithm' once. Didn't see at all"),
    ("DIGEST-MD5", [b"algorithm=md5-sess"], GENERIC, "Don't have nonce."),
    ("DIGEST-MD5", [b"algorithm=md5"], GENERIC, "'algorithm' isn't 'md5-sess'"),
    ("DIGEST-MD5", [b"algorithm=md5-sess,algorithm=md5-sess"], GENERIC,
     "Must see 'algorithm' only once"),
    ("DIGEST-MD5", [b"nonce=x,algorithm=md5-sess,qop=auth-int"], GENERIC,
     'Server doesn\'t support "no layer"'),
    ("DIGEST-MD5", [b"qop=foo"], DENIED, "Server doesn't support any known qop level"),
    ("DIGEST-MD5", [b"charset=x"], DENIED, "Charset must be UTF-8"),
    ("DIGEST-MD5", [b"maxbuf=x"], DENIED, "Invalid maxbuf parameter received from server (x)"),
    ("DIGEST-MD5", [b"maxbuf=16"], DENIED,
     "Invalid maxbuf parameter received from server (too small: 16)"),
    ("DIGEST-MD5", [b"maxbuf=16777216"], DENIED,
     "Invalid maxbuf parameter received from server (too big: 16777216)"),
    ("DIGEST-MD5", [b"maxbuf=99,maxbuf=99"], DENIED,
     "At least two maxbuf directives found. Authentication aborted"),
    ("DIGEST-MD5", [b"nonce=x,algorithm=md5-sess", b"x"], DENIED, "DIGEST-MD5 Received Garbage"),
    ("DIGEST-MD5", [b"nonce=x,algorithm=md5-sess", b"x=y"], GENERIC, ""),
    ("DIGEST-MD5", [b"nonce=x,algorithm=md5-sess", b"rspauth=00"],
     "server failed mutual authentication step",
     "DIGEST-MD5: This server wants us to believe that he knows shared secret"),
    ("SCRAM-SHA-1", [b""], BAD, "SCRAM-SHA-1 input expected"),
    ("SCRAM-SHA-1", [b"x"], BAD, "Invalid SCRAM-SHA-1 input"),
    ("SCRAM-SHA-1", [b"a" * 2049], BAD, "SCRAM-SHA-1 input longer than (MAX_SERVERIN_LEN) bytes"),
    ("SCRAM-SHA-1", [b"m=x"], BAD, "Unsupported mandatory extension to SCRAM-SHA-1"),
    ("SCRAM-SHA-1", [b"e=x"], BAD, "Nonce (r=) expected in SCRAM-SHA-1 input"),
    ("SCRAM-SHA-1", [b"r=\0"], BAD, "NULs found in SCRAM-SHA-1 input"),
    ("SCRAM-SHA-1", [b"r=x,i=1"], BAD, "Salt expected after the nonce in SCRAM-SHA-1 input"),
    ("SCRAM-SHA-1", [b"r=x,s=YQ=="], BAD,
     "iteration-count expected after the salt in SCRAM-SHA-1 input"),
    ("SCRAM-SHA-1", [b"r=x,s=,i=x"], BAD, "Invalid iteration-count in SCRAM-SHA-1 input"),
    ("SCRAM-SHA-1", [b"r=x,s=,i=65537"], BAD, "iteration-count is too big, refusing to compute"),
    ("SCRAM-SHA-1", [b"r=x,s=,i=-1"], BAD, "iteration-count is too big, refusing to compute"),
    ("SCRAM-SHA-1", [b"r=x,s=,i=1"], BAD, NOT_FROM_US),
    ("SCRAM-SHA-1", [b"r=" + ZERO_NONCE + b",s=,i=1"], BAD, NOT_FROM_US),
    ("SCRAM-SHA-1", [b"r=" + ZERO_NONCE + b"x,s=,i=1"], BAD, "The salt can't be empty"),
    ("SCRAM-SHA-1", [b"r=" + ZERO_NONCE + b"x,s=!!,i=1"], BAD,
     "Invalid base64 encoding of the salt"),
    ("SCRAM-SHA-1", [b"r=" + ZERO_NONCE + b"x,s=!!!!,i=1"], BAD,
     "Invalid base64 encoding of the salt in SCRAM-SHA-1 input"),
    ("SCRAM-SHA-1", [b"r=" + ZERO_NONCE + b"x,s=YQ==,i= +1", b"v="], BAD,
     "Invalid SCRAM-SHA-1 input expected"),
    ("SCRAM-SHA-1", [b"r=" + ZERO_NONCE + b"x,s=YQ==,i=0", b"e=invalid"], BAD,
     "ServerSignature expected in SCRAM-SHA-1 input"),
    ("SCRAM-SHA-1", [b"r=" + ZERO_NONCE + b"x,s=YQ==,i=1", b"v=YQ=="], BAD,
     "Invalid server proof (truncated) in SCRAM-SHA-1 input"),
    ("SCRAM-SHA-1", [b"r=" + ZERO_NONCE + b"x,s=YQ==,i=1", b"v=x"], BAD,
     "Invalid base64 encoding of the server proof in SCRAM-SHA-1 input"),
    ("SCRAM-SHA-1", [b"r=" + ZERO_NONCE + b"x,s=YQ==,i=1", b"v=" + b"A" * 27 + b"="], DENIED,
     "ServerSignature mismatch"),
    ("NTLM", [b""], BAD, "server didn't issue valid NTLM challenge"),
    ("NTLM", [b"NTLMSSP\0\1" + bytes(40)], BAD, "server didn't issue valid NTLM challenge"),
    ("NTLM", [b"NTLMSSP\0\2\0\0\0\3\0\3\0\x60\0\0\0" + bytes(12)], BAD, ""),
]  # fmt: skip


@pytest.mark.parametrize(("mechanism", "challenges", "result", "logged"), FAILURES)
def test_a_challenge_that_will_not_do_ends_the_login(
    mechanism: str, challenges: list[bytes], result: str, logged: str
) -> None:
    told = credentials()
    *before, last = challenges
    client = SaslClient(0, told)
    client.start(mechanism)
    for challenge in before:
        client.step(challenge)
    assert failure(lambda: client.step(last)) == (result, logged)


@pytest.mark.parametrize("mechanism", sorted(set(MECHANISMS) - {"EXTERNAL", "ANONYMOUS"}))
def test_every_mechanism_wants_a_name(mechanism: str) -> None:
    challenges = {
        "DIGEST-MD5": [b"nonce=x,algorithm=md5-sess"],
        "NTLM": [NTLM_CHALLENGE % b"\1\2"],
        "CRAM-MD5": [b"x"],
        "LOGIN": [b"x"],
    }
    told = credentials(b"")
    result = failure(lambda: login(mechanism, told, *challenges.get(mechanism, [])))
    assert result == ("generic failure", "All-whitespace username.")


@pytest.mark.parametrize(
    ("name", "result"),
    [
        (b"user", b"user"),
        (b" \ta b \n", b"a b"),
        (b"  ", b""),
        (b"u" * 1024, b"u" * 1024),
        (b" " + b"u" * 1024, b"u" * 1024),
    ],
)
def test_white_space_around_a_name_is_dropped(name: bytes, result: bytes) -> None:
    assert canon_user(name) == result


@pytest.mark.parametrize(
    ("name", "result"),
    [
        (b"", ("generic failure", "All-whitespace username.")),
        (b" x", ("generic failure", "All-whitespace username.")),
        (b"  xy", ("generic failure", "All-whitespace username.")),
        (LONG_NAME, ("overflowed buffer", "")),
    ],
)
def test_some_names_will_not_do(name: bytes, result: tuple[str, str]) -> None:
    assert failure(lambda: canon_user(name)) == result


# -- base 64 and messages -------------------------------------------------------------------------

MORE = "another step is needed in authentication"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (b"", b""), (b"YQ==", b"a"), (b"YWI=", b"ab"), (b"YWJj", b"abc"), (b"YR==", b"a"),
        (b"YQ", MORE), (b"Y", MORE), (b"YWJjY", MORE), (b"*", MORE), (b"YWJj\r\n", MORE),
        (b"\rYWJj", "generic failure"),
        (b"YQ==YWJj", BAD), (b"YQ==Y", BAD), (b"YQ==\n", BAD), (b"YQ=a", BAD), (b"Y===", BAD),
        (b"====", BAD), (b"YWJj YWJj", BAD), (b"****", BAD), (b"YWJj\n334 YWJj", BAD),
    ],
)  # fmt: skip
def test_base_64_is_taken_as_the_library_takes_it(text: bytes, result: bytes | str) -> None:
    if isinstance(result, bytes):
        assert decode64(text) == result
    else:
        assert failure(lambda: decode64(text)) == (result, "")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (b"", []),
        (b" , a = b ,, C=\"d, \\\"e\\\"\" ", [(b"a", b"b"), (b"C", b'd, "e"')]),
        (b"a=,b=c", [(b"a", b""), (b"b", b"c")]),
        (b"a=b,=c,d=e", [(b"a", b"b")]),
        (b"a;=b", [(b"a", b"b")]),
        (b'a=x"y"', [(b"a", b'x"y"')]),
        (b"a=b\0c=d", [(b"a", b"b")]),
    ],
)  # fmt: skip
def test_the_directives_of_a_digest_message(text: bytes, result: list[tuple[bytes, bytes]]) -> None:
    assert list(pairs(text)) == result

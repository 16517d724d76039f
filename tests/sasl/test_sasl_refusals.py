"""AUTH with Cyrus SASL on a host where nobody has a password."""

from __future__ import annotations

from base64 import b64decode, b64encode
from itertools import pairwise

import pytest

from postlab.lab import Lab

ENABLED = "mydestination = example.org\nsmtpd_sasl_auth_enable = yes\n"
FAILURE = "SASL authentication failure: "
SCRAMS = "SCRAM-SHA-512 SCRAM-SHA-384 SCRAM-SHA-256 SCRAM-SHA-224 SCRAM-SHA-1"
REFUSED = "authentication failure"
BAD = "bad protocol / cancel"
MORE = "another step is needed in authentication"
LOOKUP = FAILURE + "unable to canonify user and get auxprops"
PASSWORD = FAILURE + "Password verification failed"
BLANK = FAILURE + "All-whitespace username."
SASLAUTHD = FAILURE + "cannot connect to saslauthd server: No such file or directory"


def b(text: str) -> str:
    return b64encode(text.encode("latin-1")).decode()


def session(*say: str, settings: str = "", **files: str) -> tuple[list[str], list[str]]:
    """The replies to what is said after EHLO, and what smtpd(8) warned of or told."""
    lab = Lab()
    lab.mta(ENABLED + settings, files={"sasl/smtpd.conf": files["conf"]} if files else {})
    client = lab.client("198.51.100.7")
    for line in ("EHLO client.test", *say, "QUIT"):
        client.say(line)
    lab.settle()
    transcript = client.transcript
    replies = []
    for line, after in pairwise(transcript):
        if line.startswith("C: ") and not line.startswith(("C: EHLO", "C: QUIT")):
            replies.append(after[3:])
    log = [str(line).partition("]: ")[2] for line in lab.log if "/smtpd[" in str(line)]
    told = [line.removeprefix("warning: ") for line in log if not line.startswith(("conn", "disc"))]
    return replies, told


def offered(settings: str = "", **files: str) -> str:
    lab = Lab()
    lab.mta(ENABLED + settings, files={"sasl/smtpd.conf": files["conf"]} if files else {})
    client = lab.client("198.51.100.7")
    client.say("EHLO client.test")
    client.say("QUIT")
    lab.settle()
    found = [line for line in client.transcript if line.startswith("S: 250-AUTH ")]
    return found[0].removeprefix("S: 250-AUTH ") if found else ""


@pytest.mark.parametrize(
    ("options", "mechanisms"),
    [
        ("noanonymous", f"{SCRAMS} DIGEST-MD5 CRAM-MD5 NTLM PLAIN LOGIN"),
        ("", f"{SCRAMS} DIGEST-MD5 CRAM-MD5 NTLM PLAIN LOGIN ANONYMOUS"),
        ("noplaintext", f"{SCRAMS} DIGEST-MD5 CRAM-MD5 NTLM ANONYMOUS"),
        ("noactive", SCRAMS),
        ("mutual_auth", f"{SCRAMS} DIGEST-MD5"),
        ("nodictionary", ""),
        ("forward_secrecy", ""),
    ],
)
def test_options_leave_mechanisms(options: str, mechanisms: str) -> None:
    assert offered(f"smtpd_sasl_security_options = {options}\n") == mechanisms


def test_the_library_s_own_file_names_mechanisms() -> None:
    path = "cyrus_sasl_config_path = /etc/postfix/sasl\n"
    assert offered(path, conf="# x\nMech_List: login bogus Plain\n") == "LOGIN PLAIN"


@pytest.mark.parametrize(
    ("say", "why", "told"),
    [
        (["PLAIN " + b("\0ann\0pw")], REFUSED, [PASSWORD]),
        (["plain", b("\0ann\0pw")], REFUSED, [PASSWORD]),
        (["PLAIN " + b("ann")], BAD, [FAILURE + "Can only find author (no password)"]),
        (["PLAIN", ""], BAD, [FAILURE + "Can only find author (no password)"]),
        (["PLAIN " + b("a\0b")], BAD, [FAILURE + "Can only find author/en (no password)"]),
        (["PLAIN " + b("a\0b\0c\0d")], BAD,
         [FAILURE + "Got more data than we were expecting in the PLAIN plugin?"]),
        (["PLAIN " + b("\0\0pw")], "generic failure", [BLANK]),
        (["PLAIN " + b("\0 \0pw")], "generic failure", [BLANK, PASSWORD]),
        (["PLAIN " + b("\0" + 1100 * "u" + "\0p")], "overflowed buffer", []),
        (["PLAIN x"], MORE, []),
        (["PLAIN !!!!"], BAD, []),
        (["LOGIN", b("ann"), b("pw")], REFUSED, []),
        (["LOGIN " + b("ann"), b("pw")], REFUSED, []),
        (["LOGIN", "", ""], "generic failure", [BLANK]),
        (["CRAM-MD5", b("ann 0123")], REFUSED, []),
        (["CRAM-MD5", b("ann")], BAD, [FAILURE + "need authentication name"]),
        (["CRAM-MD5 " + b("x")], BAD,
         [FAILURE + "Remote sent first but mech does not allow it."]),
        (["DIGEST-MD5", ""], REFUSED, [FAILURE + "input expected in DIGEST-MD5, step 2"]),
        (["DIGEST-MD5", b("x")], REFUSED, [FAILURE + "Parse error"]),
        (["DIGEST-MD5", b('username="a"')], REFUSED,
         [FAILURE + "required parameters missing: nonce"]),
        (["DIGEST-MD5", b('username=a,nonce=x,nc=1,cnonce=y,digest-uri="smtp/z",response=0')], REFUSED,
         [FAILURE + "nonce changed: authentication aborted"]),
        (["SCRAM-SHA-1 " + b("n,,n=ann,r=abc")], REFUSED, [LOOKUP]),
        (["SCRAM-SHA-1", b("p=x,,n=ann,r=abc")], REFUSED, [LOOKUP]),
        (["SCRAM-SHA-1", b("n,a=bob,n=a=2C,r=x")], REFUSED, [LOOKUP]),
        (["SCRAM-SHA-1", b("n,,n=,r=abcde")], "generic failure", [BLANK, LOOKUP]),
        (["SCRAM-SHA-1", ""], BAD, [FAILURE + "SCRAM-SHA-1 input expected"]),
        (["SCRAM-SHA-256", b("garbage")], BAD, [FAILURE + "Invalid SCRAM-SHA-256 input"]),
        (["SCRAM-SHA-1", b("xxxxxxxxxx")], BAD,
         [FAILURE + "The initial SCRAM-SHA-1 client response needs to start with 'y', 'n' or 'p'"]),
        (["SCRAM-SHA-1", b("nn,n=a,r=abc")], BAD, [FAILURE + "',' expected in SCRAM-SHA-1 input"]),
        (["SCRAM-SHA-1", b("n,,m=x,n=a,r=b")], BAD,
         [FAILURE + "Unsupported mandatory extension to SCRAM-SHA-1"]),
        (["SCRAM-SHA-1", b("n,,x=ann,r=ab")], BAD,
         [FAILURE + "Username (n=) expected in SCRAM-SHA-1 input"]),
        (["SCRAM-SHA-1", b("n,,n=ann,s=ab")], BAD,
         [FAILURE + "Nonce expected after the username in SCRAM-SHA-1 input"]),
        (["SCRAM-SHA-1", b("n,,n=a=zz,r=b")], BAD,
         [FAILURE + "Invalid username encoding in SCRAM-SHA-1 input"]),
        (["NTLM", ""], BAD,
         ["NTLM server step 1", FAILURE + "client didn't issue valid NTLM request"]),
        (["NTLM " + b("NTLMSSP\0\1\0\0\0\7\x82\x08\xa2"), b("NTLMSSP\0\3\0\0\0" + 60 * "\0")], BAD,
         ["NTLM server step 1", "client flags: ffff8207", "NTLM server step 2",
          FAILURE + "client issued incorrect/nonexistent responses"]),
        (["OTP"], "no mechanism available", [FAILURE + "Couldn't find mech OTP"]),
        (["EXTERNAL"], "no mechanism available", []),
        (["ANONYMOUS"], "no mechanism available", []),
    ],
)  # fmt: skip
def test_every_login_fails_in_its_own_way(say: list[str], why: str, told: list[str]) -> None:
    replies, log = session(f"AUTH {say[0]}", *say[1:])
    assert replies[-1] == f"535 5.7.8 Error: authentication failed: {why}"
    method = say[0].partition(" ")[0]
    last = f"unknown[198.51.100.7]: SASL {method} authentication failed: {why}"
    assert log == [*told, last]
    assert [reply[:4] for reply in replies[:-1]] == ["334 "] * (len(say) - 1)


def test_passwords_need_encryption_where_options_say_so() -> None:
    replies, log = session(
        "AUTH PLAIN x", "AUTH LOGIN", settings="smtpd_sasl_security_options = noplaintext\n"
    )
    assert replies[1].endswith("encryption needed to use mechanism")
    assert len(log) == 2


def test_saslauthd_is_not_there() -> None:
    settings = "cyrus_sasl_config_path = /etc/postfix/sasl\n"
    say = ("AUTH PLAIN " + b("\0ann\0pw"), "AUTH LOGIN " + b("ann"), b("pw"))
    replies, log = session(*say, settings=settings, conf="pwcheck_method: saslauthd\n")
    assert replies[0] == replies[2] == "535 5.7.8 Error: authentication failed: generic failure"
    assert [line for line in log if line.startswith(FAILURE)] == [SASLAUTHD, PASSWORD, SASLAUTHD]


@pytest.mark.parametrize(("realm", "name"), [("", "anonymous"), ("r.test", "anonymous@r.test")])
def test_the_anonymous_are_welcome_where_they_may_be(realm: str, name: str) -> None:
    settings = f"smtpd_sasl_security_options =\nsmtpd_sasl_local_domain = {realm}\n"
    say = ("AUTH ANONYMOUS", b("me"), "MAIL FROM:<>", "RCPT TO:<postmaster>", "AUTH ANONYMOUS")
    replies, log = session(*say, settings=settings)
    assert replies[1] == "235 2.7.0 Authentication successful"
    assert log[0].endswith(f"client=unknown[198.51.100.7], sasl_method=ANONYMOUS, "
                           f"sasl_username={name}")  # fmt: skip


def test_challenges_name_the_host() -> None:
    replies, _ = session("AUTH CRAM-MD5", "*", "AUTH DIGEST-MD5", "*")
    assert b64decode(replies[0][4:]).endswith(b"@mx.example.org>")
    assert b'realm="mx.example.org",qop="auth",charset=utf-8,algorithm=md5-sess' in b64decode(
        replies[2][4:]
    )


def test_unknown_options_end_the_process() -> None:
    lab = Lab()
    lab.mta(ENABLED + "smtpd_sasl_security_options = bogus\n")
    lab.client("198.51.100.7").say("QUIT")
    lab.settle()
    log = [str(line).partition("]: ")[2] for line in lab.log]
    at = log.index("fatal: SASL per-connection initialization failed")
    assert log[at - 2 : at] == [
        'warning: unknown SASL security options value "bogus" in "bogus"',
        "warning: bad per-session SASL security properties",
    ]

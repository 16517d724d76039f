"""Who checks passwords for a server with Cyrus SASL: saslauthd, anybody at all, or nobody."""

from __future__ import annotations

from base64 import b64encode

import pytest

from mta.system import Stream, Unix, Wait
from postlab.lab import Lab

FAILURE = "warning: SASL authentication failure: "
PROBLEM = "warning: SASL authentication problem: "
VERIFICATION = FAILURE + "Password verification failed"


def b(text: str) -> str:
    return b64encode(text.encode()).decode()


class Session:
    """A client that says things to a server, and a saslauthd that gives an answer (None: it is not
    there).
    """

    def __init__(self, conf: str, *say: str, answer: bytes | None = None, realm: str = "") -> None:
        self.asked: list[bytes] = []
        self.answer = answer
        lab = Lab()
        lab.mta(
            "mydestination = example.org\nsmtpd_sasl_auth_enable = yes\n"
            "cyrus_sasl_config_path = /etc/postfix/sasl\n"
            f"smtpd_sasl_local_domain = {realm}\n",
            files={"sasl/smtpd.conf": conf},
        )
        client = lab.client("198.51.100.7")
        if answer is not None:
            network = lab.stage.mta.network
            network.listen(Unix("/var/run/saslauthd/mux"), self.serve, passive=True)
        for line in ("EHLO client.test", *say, "QUIT"):
            client.say(line)
        lab.settle()
        lines = client.transcript
        self.replies = [line[3:] for line in lines if line.startswith(("S: 2", "S: 3", "S: 5"))]
        log = (str(line).partition("]: ")[2] for line in lab.log)
        self.log = [line for line in log if line.startswith("warning: ")]

    def serve(self, stream: Stream) -> Wait[None]:
        """One question."""
        self.asked.append((yield stream.read(4096, 10)))
        stream.write(self.answer or b"")
        yield stream.flush(10)
        stream.close()

    @property
    def last(self) -> str:
        """The reply to the last AUTH."""
        return self.replies[-2]


PLAIN = "AUTH PLAIN " + b("\0ann\0pw")
DONE = "235 2.7.0 Authentication successful"
REFUSED = "535 5.7.8 Error: authentication failed: "


@pytest.mark.parametrize(
    ("say", "realm", "asked"),
    [
        ([PLAIN], "", b"\0\3ann\0\2pw\0\4smtp\0\0"),
        ([PLAIN], "r.test", b"\0\3ann\0\2pw\0\4smtp\0\6r.test"),
        (["AUTH LOGIN", b("ann@x@y"), b("pw")], "r.test", b"\0\5ann@x\0\2pw\0\4smtp\0\1y"),
        (["AUTH PLAIN " + b("ann\0ann\0pw")], "", b"\0\3ann\0\2pw\0\4smtp\0\0"),
    ],
)
def test_saslauthd_lets_people_in(say: list[str], realm: str, asked: bytes) -> None:
    session = Session("pwcheck_method: saslauthd\n", *say, answer=b"\0\2OK", realm=realm)
    assert session.last == DONE
    assert session.asked == [asked]
    assert session.log == []


@pytest.mark.parametrize(
    ("say", "answer", "why", "log"),
    [
        (PLAIN, b"\0\2NO", "authentication failure", [VERIFICATION]),
        (PLAIN, b"", "generic failure", [FAILURE + "size read failed", VERIFICATION]),
        (PLAIN, None, "generic failure",
         [FAILURE + "cannot connect to saslauthd server: No such file or directory", VERIFICATION]),
        ("AUTH PLAIN " + b("bob\0ann\0pw"), b"\0\2OK", "authentication failure",
         [FAILURE + "Requested identity not authenticated identity"]),
    ],
)  # fmt: skip
def test_saslauthd_lets_nobody_in(say: str, answer: bytes | None, why: str, log: list[str]) -> None:
    session = Session("pwcheck_method: saslauthd\n", say, answer=answer)
    assert session.last == REFUSED + why
    final = f"warning: unknown[198.51.100.7]: SASL PLAIN authentication failed: {why}"
    assert session.log == [*log, final]


@pytest.mark.parametrize(
    ("conf", "reply", "log"),
    [
        ("pwcheck_method: alwaystrue", DONE,
         PROBLEM + "AlwaysTrue Password Verifier Verified: ann"),
        ("pwcheck_method: foo bar", REFUSED + "no mechanism available",
         PROBLEM + "unknown password verifier(s) foo bar"),
        ("auxprop_plugin: sql", REFUSED + "no mechanism available",
         PROBLEM + "unknown password verifier(s) auxprop"),
        ("pwcheck_method: foo auxprop", REFUSED + "authentication failure", VERIFICATION),
        ("mech_list: login", REFUSED + "no mechanism available",
         FAILURE + "Couldn't find mech PLAIN"),
    ],
)  # fmt: skip
def test_other_verifiers(conf: str, reply: str, log: str) -> None:
    session = Session(conf, PLAIN)
    assert session.last == reply
    assert session.log[0] == log


@pytest.mark.parametrize("line", ["mech_list", "mech_list:", "mech_list : plain", "a b: c"])
def test_a_file_that_makes_no_sense_ends_the_process(line: str) -> None:
    session = Session(f"# fine\n{line}\n", PLAIN)
    text = "SASL per-process initialization failed: error when parsing configuration file"
    assert session.log[0] == f"warning: {text}"
    assert session.replies == []


def test_a_list_of_unknown_mechanisms_ends_the_process() -> None:
    session = Session("mech_list: foo\n", PLAIN)
    assert session.log[:4] == [
        *[FAILURE + "Internal Error -4 in ../../lib/server.c near line 1765"] * 3,
        "warning: xsasl_cyrus_server_get_mechanism_list: no mechanism available",
    ]

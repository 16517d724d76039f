"""posttls-finger(1): its options, and what it tells.

The texts are those of Postfix 3.0.15; see also scenarios/conformance/tls-more/posttls-finger-*.
"""

from __future__ import annotations

import re

import pytest

from postlab.lab import Lab
from sim.peers.tls import TlsSpec

CA = "-F /etc/postfix/ca.pem"
SUMMARY = "TLS connection established to a.test[203.0.113.10]:25: TLSv1.3 with cipher"


def finger(
    arguments: str, tls: TlsSpec | None = None, main_cf: str = "", **more: object
) -> tuple[int, str]:
    """Exit status and output; lines without the name of the command in front."""
    lab = Lab().mta(f"smtp_tls_CAfile = $config_directory/ca.pem\n{main_cf}")
    lab.peer("a.test", tls=TlsSpec() if tls is None else tls, **more)  # type: ignore[arg-type]
    result = lab.command(f"posttls-finger {arguments}".rstrip())
    lab.run()
    return result.exit, re.sub(r"(?m)^posttls-finger: ", "", result.output)


def test_without_options_it_shows_the_dialogue_and_judges_the_certificate() -> None:
    status, output = finger("a.test")
    assert status == 0
    lines = output.split("\n")
    assert lines[:3] == [
        "Connected to a.test[203.0.113.10]:25",
        "< 220 a.test ESMTP",
        "> EHLO mx.example.org",
    ]
    assert "a.test[203.0.113.10]:25: Matched subjectAltName: a.test" in lines
    assert (
        "certificate verification failed for a.test[203.0.113.10]:25: "
        "untrusted issuer /CN=Test Root" in lines
    )
    assert any(line.startswith(f"Untrusted {SUMMARY}") for line in lines)
    assert lines[-3:] == ["> QUIT", "< 221 2.0.0 Bye", ""]


@pytest.mark.parametrize(
    ("level", "status"),
    [("may", "Trusted"), ("encrypt", "Trusted"), ("verify", "Verified"), ("secure", "Verified"),
     ("dane", "Verified"), ("fingerprint", "Trusted")],
)  # fmt: skip
def test_the_level_says_how_much_is_asked(level: str, status: str) -> None:
    assert f"{status} {SUMMARY}" in finger(f"-l {level} {CA} a.test")[1]


def test_without_tls_the_session_goes_on_in_the_clear() -> None:
    output = finger("-l none a.test")[1]
    assert "STARTTLS\n> QUIT" in output and "established" not in output


@pytest.mark.parametrize("names", ["foo.test", ".foo.test:bar.test"])
def test_names_to_match_stand_after_the_destination(names: str) -> None:
    assert f"Trusted {SUMMARY}" in finger(f"-l secure {CA} a.test {names}")[1]
    assert f"Verified {SUMMARY}" in finger(f"-l secure {CA} a.test {names} a.test")[1]


@pytest.mark.parametrize(("digest", "size"), [("md5", 16), ("sha1", 20), ("sha256", 32)])
def test_fingerprints_that_it_tells_can_be_matched(digest: str, size: int) -> None:
    output = finger(f"-d {digest} {CA} a.test")[1]
    found = re.search(r"fingerprint=(\S+), pkey_fingerprint=(\S+)", output)
    assert found is not None
    for text in found.groups():
        assert text.count(":") == size - 1
        assert f"Verified {SUMMARY}" in finger(f"-l fingerprint -d {digest} a.test {text}")[1]


def test_the_dialogue_can_be_left_out() -> None:
    output = finger(f"-c {CA} -L summary a.test")[1]
    assert re.fullmatch(rf"Verified {re.escape(SUMMARY)}.*\n", output)


def test_the_chain_comes_after_all_that_is_told_meanwhile() -> None:
    """It is on the standard output, which is written out at the end."""
    output = finger(f"-C -d sha256 {CA} a.test", TlsSpec(cert="intermediate"))[1]
    before, _, chain = output.partition("\n---\nCertificate chain\n")
    assert before.endswith("> QUIT\n< 221 2.0.0 Bye\n")
    assert re.findall(r"(?m)^ (\d) subject: (\S+)", chain) == [
        ("0", "/CN=a.test"),
        ("1", "/CN=Test"),
    ]
    assert chain.count("-----BEGIN CERTIFICATE-----") == 2
    assert len(re.findall(r"cert digest=(?:[0-9A-F]{2}:){31}[0-9A-F]{2}\n", chain)) == 2


def test_of_a_long_chain_whole_blocks_come_at_once() -> None:
    names = tuple(f"{'x' * 50}{number}.test" for number in range(60))
    output = finger(f"-C {CA} a.test", TlsSpec(names=names))[1]
    begin = output.index("\n---\nCertificate chain\n")
    quit_at = output.index("posttls-finger: > QUIT")  # in the middle of a line of the chain
    assert quit_at - begin in (4096, 8192)
    assert output.endswith("-----END CERTIFICATE-----\n")


@pytest.mark.parametrize(
    ("tls", "rest", "end"),
    [
        (TlsSpec(), "-r 1", "Found a previously used server.  Done reconnecting.\n"),
        (TlsSpec(max="TLSv1.2"), "-r 1", "Found a previously used server.  Done reconnecting.\n"),
        (TlsSpec(), "-r 1 -m 0", "Maximum reconnect count reached.\n"),
        (TlsSpec(), "-r 0", "< 221 2.0.0 Bye\n"),
    ],
)  # fmt: skip
def test_it_reconnects_to_see_whether_the_session_is_resumed(
    tls: TlsSpec, rest: str, end: str
) -> None:
    output = finger(f"{CA} {rest} a.test", tls)[1]
    assert output.endswith(end)
    assert ("Reusing old session" in output) == output.endswith("Done reconnecting.\n")
    assert ("Reconnecting after 1 seconds" in output) == (rest == "-r 1")


def test_tls_from_the_first_byte_on() -> None:
    output = finger(f"-w {CA} a.test:465", TlsSpec(wrapper=True), port=465)[1]
    lines = output.split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith("Verified TLS"))
    assert lines[first + 1 : first + 3] == ["< 220 a.test ESMTP", "> EHLO mx.example.org"]
    assert "> STARTTLS" not in lines


def test_lmtp() -> None:
    output = finger(f"-S {CA} inet:a.test:24", port=24)[1]
    assert "> LHLO mx.example.org\n" in output and "Verified TLS connection" in output


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ("-a bogus a.test", 1, "fatal: bad '-a' option value: bogus\n"),
        ("-h bogus a.test", 1, 'fatal: unknown -h option value "bogus" in "bogus"\n'),
        ("-l bogus a.test", 1, 'fatal: Invalid TLS level "bogus"\n'),
        ("-w -l none a.test", 1, "fatal: SSL wrapper mode requires that TLS not be disabled\n"),
        ("-l verify -A /nosuch a.test", 1,
         "warning: error opening trust anchor file: /nosuch: No such file or directory\n"
         "fatal: Failed to load trust anchor file: /nosuch\n"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_fatal(arguments: str, status: int, text: str) -> None:
    assert finger(arguments) == (status, text)


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ("", ""),
        ("-Z", "invalid option -- 'Z'\n"),
        ("-l", "option requires an argument -- 'l'\n"),
        ("-o bad a.test", ""),
    ],
)
def test_how_it_is_used(arguments: str, first: str) -> None:
    status, output = finger(arguments)
    assert status == 1
    assert output.startswith(f"{first}usage: posttls-finger [-acCfSvw] [-t conn_tmout]")


@pytest.mark.parametrize("arguments", ["-d bogus", "-k /nosuch", "-F /nosuch", "-P /nosuch"])
def test_files_and_digests_that_are_none_leave_no_tls(arguments: str) -> None:
    output = finger(f"{arguments} a.test")[1]
    assert ("disabling TLS support" in output) == (arguments != "-P /nosuch")
    assert ("established" in output) == (arguments == "-P /nosuch")


def test_our_certificate_is_shown() -> None:
    peer = TlsSpec(ask=True)
    assert SUMMARY in finger("-k /etc/postfix/mx.pem a.test", peer)[1]
    assert SUMMARY in finger("-K /etc/postfix/mx.pem a.test", peer)[1]


@pytest.mark.parametrize(
    ("arguments", "version"),
    [("-p TLSv1.2", "TLSv1.2"), ("-p !TLSv1.3", "TLSv1.2"), ("-g high", "TLSv1.3")],
)
def test_protocols_and_grades(arguments: str, version: str) -> None:
    assert f"[203.0.113.10]:25: {version} with cipher" in finger(f"{arguments} a.test")[1]


def test_parameters_may_have_other_values() -> None:
    assert "> EHLO other.test\n" in finger("-o myhostname=other.test a.test")[1]


def test_more_is_told_of_what_libraries_do() -> None:
    lab = Lab().mta("")
    lab.peer("a.test", tls=TlsSpec())
    lab.dns("cname.test. IN CNAME a.test.")
    told = lab.command("posttls-finger -v -c -l dane -L summary cname.test")
    lab.run()
    lines = [
        line
        for line in re.sub(r"(?m)^posttls-finger: ", "", told.output).split("\n")
        if " TLS connection " not in line
    ]
    assert lines == [
        "name_mask: dns",
        "name_mask: summary",
        "name_mask: summary",
        "name_mask: ipv4",
        "inet_addr_local: configured 2 IPv4 addresses",
        "parse_destination: cname.test smtp",
        "dns_query: cname.test (MX): OK",
        "dns_get_answer: type CNAME for cname.test",
        "dns_lookup: cname.test aliased to a.test",
        "dns_query: a.test (MX): Host found but no data record of requested type",
        "addr_one: host cname.test",
        "lookup cname.test type A flags 8388608",
        "dns_query: cname.test (A): OK",
        "dns_get_answer: type CNAME for cname.test",
        "dns_get_answer: type A for a.test",
        "dns_query: cname.test (CNAME): OK",
        "dns_get_answer: type CNAME for cname.test",
        'no TLSA records found, resorting to "secure"',
        "connect_addr: trying: cname.test[203.0.113.10] port 25...",
        "vstream_tweak_tcp: TCP_MAXSEG 1448",
        "smtp_stream_setup: maxtime=30 enable_deadline=1",
        "smtp_stream_setup: maxtime=30 enable_deadline=1",
        "certificate verification failed for cname.test[203.0.113.10]:25: "
        "untrusted issuer /CN=Test Root",
        "smtp_stream_setup: maxtime=30 enable_deadline=1",
        "",
    ]


def test_still_more_is_not_there_and_says_so() -> None:
    assert finger("-vv -l none a.test")[1].startswith(
        "warning: more verbose logging is not implemented: -v -v\n"
    )
